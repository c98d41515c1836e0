package demo

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
)

const (
	chatModel       = "parrot-1"
	maxPrompt       = 2000
	maxTokens       = 4000
	maxTokenRate    = 1000
	defaultTokens   = 15 // per second
	thinkingPause   = 250 * time.Millisecond
	faultMidwayText = "the model ran out of memory"
)

type chatServer struct {
	chatv1.UnimplementedChatServiceServer
}

// Complete streams an answer, token by token.
func (*chatServer) Complete(r *chatv1.CompleteRequest, stream grpc.ServerStreamingServer[chatv1.CompleteResponse]) error {
	if err := checkPrompt(r); err != nil {
		return err
	}
	if r.GetFault() == chatv1.Fault_FAULT_BEFORE_START {
		return status.Error(codes.FailedPrecondition, "the model is not loaded")
	}
	rate := r.GetTokensPerSecond()
	if rate == 0 {
		rate = defaultTokens
	}
	a := &answer{stream: stream, request: r, tokens: tokens(reply(r.GetPrompt())), every: time.Second / time.Duration(rate)}
	return a.write()
}

func checkPrompt(r *chatv1.CompleteRequest) error {
	switch {
	case strings.TrimSpace(r.GetPrompt()) == "":
		return invalid("prompt", "must not be empty: ask something")
	case utf8.RuneCountInString(r.GetPrompt()) > maxPrompt:
		return invalid("prompt", "must not be longer than 2,000 characters")
	case r.GetTokensPerSecond() > maxTokenRate:
		return invalid("tokens_per_second", "must be between 1 and 1,000")
	case r.GetMaxTokens() > maxTokens:
		return invalid("max_tokens", "must not be more than 4,000")
	case chatv1.Fault_name[int32(r.GetFault())] == "":
		return invalid("fault", "must be FAULT_BEFORE_START or FAULT_MIDWAY")
	}
	return nil
}

// answer is one answer on its way.
type answer struct {
	stream   grpc.ServerStreamingServer[chatv1.CompleteResponse]
	request  *chatv1.CompleteRequest
	tokens   []string
	every    time.Duration
	sequence uint32
}

func (a *answer) write() error {
	prompt := uint32(len(tokens(a.request.GetPrompt())))
	start := &chatv1.Start{Model: chatModel, PromptTokens: prompt}
	if err := a.send(&chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Start{Start: start}}); err != nil {
		return err
	}
	if err := a.think(); err != nil {
		return err
	}
	limit, reason := len(a.tokens), chatv1.FinishReason_FINISH_REASON_STOP
	if most := int(a.request.GetMaxTokens()); most > 0 && most < limit {
		limit, reason = most, chatv1.FinishReason_FINISH_REASON_LENGTH
	}
	fails := a.request.GetFault() == chatv1.Fault_FAULT_MIDWAY
	if fails {
		limit /= 2
	}
	for _, text := range a.tokens[:limit] {
		if err := pause(a.stream.Context(), a.every); err != nil {
			return err
		}
		token := &chatv1.Token{Text: text}
		if err := a.send(&chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Token{Token: token}}); err != nil {
			return err
		}
	}
	written := uint32(limit)
	if fails {
		return a.fail(written)
	}
	complete := &chatv1.Complete{FinishReason: reason, CompletionTokens: written}
	return a.send(&chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Complete{Complete: complete}})
}

// think sends what a model reports before its first word.
func (a *answer) think() error {
	for i, stage := range []string{"Reading the question", "Looking things up", "Thinking"} {
		p := &chatv1.Progress{Stage: stage, Percent: uint32(i+1) * 100 / 3}
		if err := a.send(&chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Progress{Progress: p}}); err != nil {
			return err
		}
		if err := pause(a.stream.Context(), thinkingPause); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the answer: first with an event for the page to show, then with a status for everybody.
func (a *answer) fail(written uint32) error {
	failed := &chatv1.Failed{Reason: faultMidwayText, CompletionTokens: written}
	if err := a.send(&chatv1.CompleteResponse{Event: &chatv1.CompleteResponse_Failed{Failed: failed}}); err != nil {
		return err
	}
	return status.Error(codes.Internal, faultMidwayText)
}

func (a *answer) send(m *chatv1.CompleteResponse) error {
	a.sequence++
	m.Sequence = a.sequence
	return a.stream.Send(m)
}
