package demo

import (
	"fmt"
	"time"

	"google.golang.org/grpc"

	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
)

// taskSteps are what a task does, whatever it is called.
var taskSteps = []string{
	"Reserving a worker", "Fetching the sources", "Compiling", "Running the tests", "Building the image", "Scanning it",
	"Pushing the image", "Starting one instance", "Checking its health", "Moving the traffic", "Cleaning up",
}

// progress is where the task is at a time: its percent, its step counted from 1, and its state.
func (t *task) progress(now time.Time) (percent, step uint32, state tasksv1.State) {
	end := uint32(100)
	if t.failAt > 0 {
		end = (2*t.failAt - 1) * 50 / t.steps // in the middle of the step that fails
	}
	done := now.Sub(t.started) * 100 / t.takes
	percent = uint32(min(max(done, 0), time.Duration(end)))
	step = min(percent*t.steps/100+1, t.steps)
	switch {
	case percent < end:
		return percent, step, tasksv1.State_STATE_RUNNING
	case t.failAt > 0:
		return percent, t.failAt, tasksv1.State_STATE_FAILED
	default:
		return percent, step, tasksv1.State_STATE_SUCCEEDED
	}
}

func (t *task) message(now time.Time) *tasksv1.Task {
	percent, _, state := t.progress(now)
	return &tasksv1.Task{TaskId: t.id, Title: t.title, State: state, Percent: percent, Steps: t.steps}
}

// taskWatch is one call that watches a task.
type taskWatch struct {
	task     *task
	stream   grpc.ServerStreamingServer[tasksv1.WatchTaskResponse]
	sequence uint32
	step     uint32 // the step that was told last; 0 before the first
	percent  uint32 // the percent that was told last
	ended    bool
}

// catchUp tells what has changed since the last time.
func (w *taskWatch) catchUp(now time.Time) error {
	percent, step, state := w.task.progress(now)
	if w.step == 0 {
		w.step = step - 1 // who watches late is told the step that runs, not those before it
	}
	for w.step < step {
		w.step++
		title := taskSteps[int(w.step-1)%len(taskSteps)]
		s := &tasksv1.Step{Number: w.step, Steps: w.task.steps, Title: title}
		if err := w.send(&tasksv1.WatchTaskResponse{Event: &tasksv1.WatchTaskResponse_Step{Step: s}}); err != nil {
			return err
		}
	}
	if percent != w.percent || w.sequence == 1 {
		w.percent = percent
		p := &tasksv1.Progress{Percent: percent}
		if err := w.send(&tasksv1.WatchTaskResponse{Event: &tasksv1.WatchTaskResponse_Progress{Progress: p}}); err != nil {
			return err
		}
	}
	switch state {
	case tasksv1.State_STATE_SUCCEEDED:
		w.ended = true
		s := &tasksv1.Succeeded{Summary: fmt.Sprintf("%s: all %d steps done", w.task.title, w.task.steps)}
		return w.send(&tasksv1.WatchTaskResponse{Event: &tasksv1.WatchTaskResponse_Succeeded{Succeeded: s}})
	case tasksv1.State_STATE_FAILED:
		w.ended = true
		f := &tasksv1.Failed{Step: step, Reason: taskSteps[int(step-1)%len(taskSteps)] + " failed, as it was asked to"}
		return w.send(&tasksv1.WatchTaskResponse{Event: &tasksv1.WatchTaskResponse_Failed{Failed: f}})
	default:
		return nil
	}
}

func (w *taskWatch) send(m *tasksv1.WatchTaskResponse) error {
	w.sequence++
	m.Sequence = w.sequence
	return w.stream.Send(m)
}
