package demo

import (
	"context"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pause waits for d. Its error is the status with which the call ends when there is nothing to wait for any more.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
	}
	if cause := context.Cause(ctx); status.Code(cause) != codes.Unknown {
		return cause // the server is stopping
	}
	return status.FromContextError(ctx.Err()).Err()
}

// invalid is the error for a request field with a value that cannot be used. Its details say which field it is, in the
// form that clients in many languages understand.
func invalid(field, description string) error {
	s := status.New(codes.InvalidArgument, field+": "+description)
	detailed, err := s.WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}},
	})
	if err != nil {
		return s.Err()
	}
	return detailed.Err()
}

// within returns the interval that a request asks for: standard when it asks for none, an error when it is not between
// least and most.
func within(d *durationpb.Duration, standard, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return standard, nil
	}
	if err := d.CheckValid(); err != nil {
		return 0, invalid("interval", err.Error())
	}
	if v := d.AsDuration(); v >= least && v <= most {
		return v, nil
	}
	return 0, invalid("interval", "must be between "+least.String()+" and "+most.String())
}
