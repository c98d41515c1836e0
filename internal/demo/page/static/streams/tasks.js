// A task: started by a plain POST, then watched. POST /v1/tasks, GET /v1/tasks/{task_id}/events
import { el } from '../dom.js';

export const tasks = {
  title: 'Task',
  method: 'demo.tasks.v1.TaskService/WatchTask',
  start: 'Start the task',
  types: ['step', 'progress', 'succeeded', 'failed'],

  async url(form) {
    const body = { title: form.get('title'), durationMs: Number(form.get('duration_ms')) };
    if (form.get('fail_at_step')) body.failAtStep = Number(form.get('fail_at_step'));
    const response = await fetch('/v1/tasks', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const reply = await response.json();
    // Errors are RFC 9457 problems: a title and a detail.
    if (!response.ok) throw new Error(`POST /v1/tasks: ${response.status} ${reply.detail ?? reply.title}`);
    this.started = reply.task;
    return `/v1/tasks/${encodeURIComponent(reply.task.taskId)}/events`;
  },

  view(box, form) {
    const bar = el('progress', { max: 100, value: 0, 'aria-label': 'How much of the task is done' });
    const percent = el('output', {}, '0 %');
    const steps = el('ol.steps');
    const end = el('p.note', { role: 'status' });
    box.replaceChildren(
      el('p.posted', {}, el('code', {}, 'POST /v1/tasks'), ` started ${this.started.taskId}`),
      el('div.task', {}, el('h3', {}, form.get('title')), percent), bar, steps, end);
    const show = (value) => {
      bar.value = value;
      percent.textContent = `${value} %`;
    };
    const finish = (text, kind) => {
      steps.querySelector('li:not(.done)')?.classList.add(kind);
      end.textContent = text;
      end.classList.toggle('bad', kind === 'failed');
      bar.classList.add(kind);
    };
    return {
      event(type, data) {
        switch (type) {
          case 'step':
            steps.querySelector('li:not(.done)')?.classList.add('done');
            steps.append(el('li', { value: data.step.number }, data.step.title, el('span', {}, `${data.step.number} of ${data.step.steps}`)));
            break;
          case 'progress':
            show(data.progress.percent ?? 0); // protobuf's JSON leaves a 0 out
            break;
          case 'succeeded':
            finish(data.succeeded.summary, 'done');
            break;
          case 'failed':
            finish(data.failed.reason, 'failed');
        }
      },
      reset() {
        steps.replaceChildren();
        show(0);
      },
      ended() {
        if (!end.textContent) end.textContent = 'No longer watched';
      },
    };
  },
};
