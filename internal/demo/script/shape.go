package script

import (
	"cmp"
	"context"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

const plainText = "text/plain; charset=utf-8"

// StreamBody streams the pieces that the request holds.
func (b *Backend) StreamBody(r *scriptv1.StreamBodyRequest, stream grpc.ServerStreamingServer[httpbody.HttpBody]) error {
	return b.watch(stream.Context(), &call{}, func(c *call) error {
		for i, piece := range r.GetPieces() {
			m := &httpbody.HttpBody{Data: []byte(piece)}
			if i == 0 {
				m.ContentType, m.Extensions = cmp.Or(r.GetContentType(), plainText), r.GetExtensions()
			}
			if err := stream.Send(m); err != nil {
				return err
			}
			c.sent.Add(1)
			b.notify()
		}
		return nil
	})
}

// GetBody returns the text that the request holds.
func (*Backend) GetBody(_ context.Context, r *scriptv1.GetBodyRequest) (*httpbody.HttpBody, error) {
	return &httpbody.HttpBody{ContentType: cmp.Or(r.GetContentType(), plainText), Data: []byte(r.GetText())}, nil
}

// StreamField streams the texts that the request holds, each beside one that a client must not see.
func (b *Backend) StreamField(r *scriptv1.StreamFieldRequest, stream grpc.ServerStreamingServer[scriptv1.StreamFieldResponse]) error {
	return b.watch(stream.Context(), &call{}, func(c *call) error {
		for _, text := range r.GetTexts() {
			if err := stream.Send(&scriptv1.StreamFieldResponse{Item: &scriptv1.Item{Text: text}, Hidden: "hidden"}); err != nil {
				return err
			}
			c.sent.Add(1)
			b.notify()
		}
		return nil
	})
}

// GetField returns the texts that the request holds beside one that a client must not see.
func (*Backend) GetField(_ context.Context, r *scriptv1.GetFieldRequest) (*scriptv1.GetFieldResponse, error) {
	m := &scriptv1.GetFieldResponse{Hidden: "hidden"}
	for _, text := range r.GetTexts() {
		m.Items = append(m.Items, &scriptv1.Item{Text: text})
	}
	return m, nil
}
