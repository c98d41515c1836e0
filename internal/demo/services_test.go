package demo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
)

// chatShape is an answer in short: its event types, runs of tokens counted, and its text.
func chatShape(messages []*chatv1.CompleteResponse) (shape, text string) {
	var kinds []string
	tokens := 0
	for _, m := range messages {
		if token := m.GetToken(); token != nil {
			tokens++
			text += token.GetText()
			continue
		}
		if tokens > 0 {
			kinds = append(kinds, fmt.Sprintf("%d tokens", tokens))
			tokens = 0
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(fmt.Sprintf("%T", m.GetEvent()), "*chatv1.CompleteResponse_"), " ")
		kinds = append(kinds, kind)
	}
	return strings.Join(kinds, ", "), text
}

func TestChat(t *testing.T) {
	for _, test := range []struct {
		name    string
		request *chatv1.CompleteRequest
		shape   string
		text    string // how it begins
		code    codes.Code
		takes   time.Duration
	}{
		{
			name: "an answer that fits the prompt", request: &chatv1.CompleteRequest{Prompt: "How does it RECONNECT?", TokensPerSecond: 10},
			shape: "Start, Progress, Progress, Progress, 139 tokens, Complete", text: "A browser's EventSource reconnects by itself. ",
			takes: 750*time.Millisecond + 13900*time.Millisecond,
		},
		{
			name: "an answer that is cut short", request: &chatv1.CompleteRequest{Prompt: "hi", MaxTokens: 5},
			shape: "Start, Progress, Progress, Progress, 5 tokens, Complete", text: "I am a very small",
			takes: 750*time.Millisecond + 5*(time.Second/15),
		},
		{
			name:    "a failure before the start",
			request: &chatv1.CompleteRequest{Prompt: "hi", Fault: chatv1.Fault_FAULT_BEFORE_START}, code: codes.FailedPrecondition,
		},
		{
			name: "a failure in the middle", request: &chatv1.CompleteRequest{Prompt: "hi", MaxTokens: 5, Fault: chatv1.Fault_FAULT_MIDWAY},
			shape: "Start, Progress, Progress, Progress, 2 tokens, Failed", text: "I am", code: codes.Internal,
			takes: 750*time.Millisecond + 2*(time.Second/15),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *backend) {
				begin := time.Now()
				got, err := b.chat(t, test.request)
				if status.Code(err) != test.code {
					t.Errorf("ended with %v, want %v", err, test.code)
				}
				if took := time.Since(begin); took != test.takes {
					t.Errorf("took %v, want %v", took, test.takes)
				}
				shape, text := chatShape(got)
				if shape != test.shape || !strings.HasPrefix(text, test.text) {
					t.Errorf("got %q, text %q, want %q, %q", shape, text, test.shape, test.text)
				}
				numbered(t, got)
			})
		})
	}
}

func TestChatIsTheSameEachTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		r := &chatv1.CompleteRequest{Prompt: "What is gRPC?", TokensPerSecond: 1000}
		one, _ := b.chat(t, r)
		two, _ := b.chat(t, r)
		_, first := chatShape(one)
		_, second := chatShape(two)
		if first != second || !strings.Contains(first, "\n\n") {
			t.Errorf("answers differ, or lost their paragraphs:\n%s\n%s", first, second)
		}
	})
}

// taskShape is what a watcher is told, in short.
func taskShape(messages []*tasksv1.WatchTaskResponse) []string {
	var shape []string
	for _, m := range messages {
		switch {
		case m.GetStep() != nil:
			shape = append(shape, fmt.Sprintf("step %d/%d %s", m.GetStep().GetNumber(), m.GetStep().GetSteps(), m.GetStep().GetTitle()))
		case m.GetSucceeded() != nil:
			shape = append(shape, "succeeded: "+m.GetSucceeded().GetSummary())
		case m.GetFailed() != nil:
			shape = append(shape, fmt.Sprintf("failed in %d: %s", m.GetFailed().GetStep(), m.GetFailed().GetReason()))
		}
	}
	return shape
}

func startTask(t *testing.T, b *backend, r *tasksv1.StartTaskRequest) *tasksv1.Task {
	t.Helper()
	got, err := tasksv1.NewTaskServiceClient(b).StartTask(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got.GetTask()
}

func TestTask(t *testing.T) {
	for _, test := range []struct {
		name    string
		request *tasksv1.StartTaskRequest
		watchAt time.Duration
		want    []string
		ends    time.Duration
	}{
		{
			name: "watched from the start", request: &tasksv1.StartTaskRequest{Title: "Deploy", Steps: 2, DurationMs: 10_000},
			want: []string{"step 1/2 Reserving a worker", "step 2/2 Fetching the sources", "succeeded: Deploy: all 2 steps done"},
			ends: 10 * time.Second,
		},
		{
			name: "watched late", request: &tasksv1.StartTaskRequest{Title: "Deploy", Steps: 2, DurationMs: 10_000}, watchAt: 7 * time.Second,
			want: []string{"step 2/2 Fetching the sources", "succeeded: Deploy: all 2 steps done"}, ends: 10 * time.Second,
		},
		{
			name: "watched when it is over", request: &tasksv1.StartTaskRequest{Title: "Deploy", Steps: 2, DurationMs: 10_000}, watchAt: time.Hour,
			want: []string{"step 2/2 Fetching the sources", "succeeded: Deploy: all 2 steps done"}, ends: time.Hour,
		},
		{
			name: "that fails", request: &tasksv1.StartTaskRequest{Title: "Deploy", Steps: 2, DurationMs: 10_000, FailAtStep: 1},
			want: []string{"step 1/2 Reserving a worker", "failed in 1: Reserving a worker failed, as it was asked to"}, ends: 2600 * time.Millisecond,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *backend) {
				begin := time.Now()
				task := startTask(t, b, test.request)
				<-time.After(test.watchAt) // in fake time
				got, err := b.watch(t, task.GetTaskId())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, taskShape(got)); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if took := time.Since(begin); took != test.ends {
					t.Errorf("ended after %v, want %v", took, test.ends)
				}
				numbered(t, got)
				last := uint32(0)
				for _, m := range got {
					if p := m.GetProgress(); p != nil && p.GetPercent() < last {
						t.Errorf("progress fell from %d to %d", last, p.GetPercent())
					} else if p != nil {
						last = p.GetPercent()
					}
				}
			})
		})
	}
}

func TestTasksAreApart(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		one := startTask(t, b, &tasksv1.StartTaskRequest{Title: " One ", FailAtStep: 5})
		two := startTask(t, b, &tasksv1.StartTaskRequest{Title: "Two"})
		if one.GetTaskId() == two.GetTaskId() || one.GetTitle() != "One" || one.GetState() != tasksv1.State_STATE_RUNNING {
			t.Errorf("two tasks of the same moment: %v, %v", one, two)
		}
		<-time.After(time.Minute) // in fake time
		client := tasksv1.NewTaskServiceClient(b)
		got, err := client.GetTask(t.Context(), &tasksv1.GetTaskRequest{TaskId: one.GetTaskId()})
		if err != nil || got.GetTask().GetState() != tasksv1.State_STATE_FAILED || got.GetTask().GetPercent() != 90 {
			t.Errorf("the one that fails in its last step: %v, %v", got, err)
		}
		got, err = client.GetTask(t.Context(), &tasksv1.GetTaskRequest{TaskId: two.GetTaskId()})
		if err != nil || got.GetTask().GetState() != tasksv1.State_STATE_SUCCEEDED || got.GetTask().GetPercent() != 100 {
			t.Errorf("the one that does not fail: %v, %v", got, err)
		}
		for range 1000 {
			startTask(t, b, &tasksv1.StartTaskRequest{Title: "Many"})
		}
		if _, err := b.watch(t, one.GetTaskId()); status.Code(err) != codes.NotFound {
			t.Errorf("a task that was forgotten: %v", err)
		}
		if _, err := client.GetTask(t.Context(), &tasksv1.GetTaskRequest{}); status.Code(err) != codes.NotFound {
			t.Errorf("a task without a name: %v", err)
		}
	})
}

func TestPrices(t *testing.T) {
	for _, test := range []struct {
		name    string
		symbols []string
		want    []string // each comes once in each round
	}{
		{"all", nil, []string{"ACME", "GLOBEX", "HOOLI", "INITECH", "SOYLENT", "STARK", "UMBRELLA", "WONKA"}},
		{"one", []string{"HOOLI"}, []string{"HOOLI"}},
		{"one named twice", []string{"STARK", "STARK"}, []string{"STARK"}},
		{"five", []string{"STARK", "ACME", "WONKA", "HOOLI", "GLOBEX"}, []string{"ACME", "GLOBEX", "HOOLI", "STARK", "WONKA"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *backend) {
				begin := time.Now()
				got, err := b.prices(t, 100, &pricesv1.WatchPricesRequest{Symbols: test.symbols, Interval: durationpb.New(time.Second)})
				if err != nil {
					t.Fatal(err)
				}
				var symbols []string
				for i, m := range got {
					symbols = append(symbols, m.GetSymbol())
					if i > 0 && m.GetSequence() != got[i-1].GetSequence()+1 {
						t.Fatalf("%d after %d", m.GetSequence(), got[i-1].GetSequence())
					}
				}
				for round := range slices.Chunk(symbols, len(test.want)) {
					if slices.Sort(round); len(round) == len(test.want) && !slices.Equal(round, test.want) {
						t.Errorf("symbols %v in a round, want %v", round, test.want)
					}
				}
				if took := time.Since(begin); took != time.Duration(100-len(test.want))*time.Second {
					t.Errorf("took %v: one of each of %d at once, then one a second", took, len(test.want))
				}
				checkPrices(t, got)
			})
		})
	}
}

// A call goes on behind any price of the last ten minutes, in another process, too.
func TestPricesGoOn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		all, err := b.prices(t, 2000, &pricesv1.WatchPricesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		newest := all[len(all)-1].GetSequence()
		from := func(after uint32) ([]*pricesv1.WatchPricesResponse, error) {
			return b.prices(t, 500, &pricesv1.WatchPricesRequest{AfterSequence: after})
		}
		for name, after := range map[string]uint32{
			"the oldest that is known": newest - 1500, "one in the middle": newest - 700, "the newest but some": newest - 500,
		} {
			got, err := from(after)
			want := all[len(all)-1-int(newest-after)+1:][:500]
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
		for name, after := range map[string]uint32{
			"one that is not known": newest - 1501, "the first of all": 1, "one that is too far ahead": newest + 20, "the last of all": 1<<32 - 1,
		} {
			if _, err := from(after); status.Code(err) != codes.OutOfRange {
				t.Errorf("%s: %v, want OUT_OF_RANGE", name, err)
			}
		}
		begin := time.Now()
		if got, err := b.prices(t, 1, &pricesv1.WatchPricesRequest{AfterSequence: newest}); err != nil || got[0].GetSequence() != newest+1 {
			t.Errorf("after the newest: %v, %v", got, err)
		}
		if took := time.Since(begin); took != 400*time.Millisecond {
			t.Errorf("the next price took %v", took)
		}
	})
}

// A machine that slept sends no flood of old prices: who asks again is told what is left.
func TestPricesAfterASleep(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		stream, err := pricesv1.NewPriceServiceClient(b).WatchPrices(t.Context(), &pricesv1.WatchPricesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		b.skipped.Add(int64(time.Hour))
		if _, err = stream.Recv(); status.Code(err) != codes.Aborted {
			t.Errorf("after the sleep: %v, want ABORTED", err)
		}
		b.skipped.Add(int64(-100 * 365 * 24 * time.Hour))
		if _, err := b.prices(t, 1, &pricesv1.WatchPricesRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("before the epoch: %v, want FAILED_PRECONDITION", err)
		}
	})
}

// checkPrices checks that prices stay near the opening, and change.
func checkPrices(t *testing.T, messages []*pricesv1.WatchPricesResponse) {
	t.Helper()
	prices := map[string]map[float64]bool{}
	for _, m := range messages {
		if prices[m.GetSymbol()] == nil {
			prices[m.GetSymbol()] = map[float64]bool{}
		}
		prices[m.GetSymbol()][m.GetPrice()] = true
		if m.ChangePercent == nil || m.GetChangePercent() < -3 || m.GetChangePercent() > 3 || m.GetTime() == nil || m.GetName() == "" {
			t.Fatalf("not a likely price: %v", m)
		}
	}
	for symbol, values := range prices {
		if len(values) < 4 {
			t.Errorf("%s had only %d prices", symbol, len(values))
		}
	}
}

func TestFeed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		begin := time.Now()
		got, err := b.feed(t, 10_000, &feedv1.WatchFeedRequest{Count: 200})
		if err != nil || len(got) != 200 {
			t.Fatalf("%d items, %v", len(got), err)
		}
		if took := time.Since(begin); took != 199*700*time.Millisecond {
			t.Errorf("took %v", took)
		}
		numbered(t, got)
		kinds := map[string]int{}
		for _, m := range got {
			kinds[m.GetKind()]++
			if m.GetActor() == "" || m.GetText() == "" || m.GetTime() == nil {
				t.Fatalf("an item with something missing: %v", m)
			}
		}
		if len(kinds) != 4 || kinds["alert"] > kinds["comment"] {
			t.Errorf("kinds %v", kinds)
		}
		endless, err := b.feed(t, 1000, &feedv1.WatchFeedRequest{Interval: durationpb.New(10 * time.Millisecond)})
		if err != nil || len(endless) != 1000 {
			t.Errorf("a feed without a count: %d items, %v", len(endless), err)
		}
	})
}

func TestACallEndsWithItsCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := feedv1.NewFeedServiceClient(b).WatchFeed(ctx, &feedv1.WatchFeedRequest{})
		for err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("ended with %v", err)
		}
	})
}
