package demo

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tasksv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/tasks/v1"
)

const (
	maxTasks     = 1000 // the oldest are forgotten
	maxTaskTitle = 80
	maxTaskSteps = 20
	minTaskMs    = 100
	maxTaskMs    = 600_000
	defaultSteps = 5
	defaultMs    = 12_000
	// updatesPerTask is how many progress events a task has, one for each percent at most.
	updatesPerTask = 50
)

type taskServer struct {
	tasksv1.UnimplementedTaskServiceServer
	now func() time.Time

	mu    sync.Mutex
	tasks map[string]*task
	order []string // ids, oldest first
}

func newTaskServer(now func() time.Time) *taskServer {
	return &taskServer{now: now, tasks: map[string]*task{}}
}

// task is never changed after its start: how far it is follows from the time. So it needs no goroutine and no lock.
type task struct {
	id, title string
	steps     uint32
	failAt    uint32 // the step that fails; 0 for none
	started   time.Time
	takes     time.Duration
}

// StartTask starts a task.
func (s *taskServer) StartTask(_ context.Context, r *tasksv1.StartTaskRequest) (*tasksv1.StartTaskResponse, error) {
	t := &task{title: strings.TrimSpace(r.GetTitle()), steps: r.GetSteps(), failAt: r.GetFailAtStep(), started: s.now()}
	if t.steps == 0 {
		t.steps = defaultSteps
	}
	ms := r.GetDurationMs()
	if ms == 0 {
		ms = defaultMs
	}
	t.takes = time.Duration(ms) * time.Millisecond
	switch {
	case t.title == "":
		return nil, invalid("title", "must not be empty: give the task a name")
	case utf8.RuneCountInString(t.title) > maxTaskTitle:
		return nil, invalid("title", "must not be longer than 80 characters")
	case t.steps > maxTaskSteps:
		return nil, invalid("steps", "must be between 1 and 20")
	case ms < minTaskMs || ms > maxTaskMs:
		return nil, invalid("duration_ms", "must be between 100 and 600,000")
	case t.failAt > t.steps:
		return nil, invalid("fail_at_step", "must not be more than steps")
	}
	s.keep(t)
	return &tasksv1.StartTaskResponse{Task: t.message(s.now())}, nil
}

// keep gives the task an id and remembers it.
func (s *taskServer) keep(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The time keeps ids apart from those of an earlier process; counting up keeps them apart from each other.
	for n := t.started.UnixMilli(); t.id == ""; n++ {
		if id := "task-" + strconv.FormatInt(n, 36); s.tasks[id] == nil {
			t.id = id
		}
	}
	s.tasks[t.id] = t
	s.order = append(s.order, t.id)
	if len(s.order) > maxTasks {
		delete(s.tasks, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *taskServer) find(id string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[id]; t != nil {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "there is no task %q: start one with StartTask", id)
}

// GetTask returns how far a task is.
func (s *taskServer) GetTask(_ context.Context, r *tasksv1.GetTaskRequest) (*tasksv1.GetTaskResponse, error) {
	t, err := s.find(r.GetTaskId())
	if err != nil {
		return nil, err
	}
	return &tasksv1.GetTaskResponse{Task: t.message(s.now())}, nil
}

// WatchTask streams a task's steps and progress until it ends.
func (s *taskServer) WatchTask(r *tasksv1.WatchTaskRequest, stream grpc.ServerStreamingServer[tasksv1.WatchTaskResponse]) error {
	t, err := s.find(r.GetTaskId())
	if err != nil {
		return err
	}
	w := &taskWatch{task: t, stream: stream}
	for !w.ended {
		if err := w.catchUp(s.now()); err != nil {
			return err
		}
		if !w.ended {
			if err := pause(stream.Context(), t.takes/updatesPerTask); err != nil {
				return err
			}
		}
	}
	return nil
}
