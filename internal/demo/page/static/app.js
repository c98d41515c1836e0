// Ties the page together: controls → a run of a stream → what is shown of it.
import { byId, randomName, soon } from './dom.js';
import { GapCheck } from './gapcheck.js';
import { Run } from './run.js';
import { Wire } from './wire.js';
import { showCheck } from './tape.js';
import { clearTimeline, showTimeline } from './timeline.js';
import { clearFrames, showFrames } from './frames.js';
import { chat } from './streams/chat.js';
import { tasks } from './streams/tasks.js';
import { prices } from './streams/prices.js';
import { feed } from './streams/feed.js';

const streams = { chat, tasks, prices, feed };
const controls = byId('controls');
const wire = new Wire(randomName(16), soon(() => {
  showTimeline(wire.connections);
  showFrames(wire.connections);
}));

let chosen = 'chat';
let run; // the stream that is shown; undefined before the first
let runs = 0;
let check = new GapCheck();
let view;
const showNumbers = soon(() => showCheck(check, run));

const STATES = {
  idle: 'Not started', connecting: 'Connecting', live: 'Live', reconnecting: 'Reconnecting', ending: 'Ending', ended: 'Ended', refused: 'Refused',
};

function choose(name) {
  leave();
  clear();
  chosen = name;
  const stream = streams[name];
  byId('stage-title').textContent = stream.title;
  byId('method').textContent = stream.method;
  byId('start').textContent = stream.start;
  byId('stop').textContent = stream.shared ? 'Stop watching' : 'Stop the call';
  byId('stop').title = stream.shared
    ? 'Closes the connection: the call belongs to all its readers, so none of them can cancel it'
    : 'POST /sse.cancel: the backend\u2019s call is cancelled';
  for (const fields of controls.querySelectorAll('.fields')) {
    fields.hidden = fields.dataset.for !== name;
    // What is hidden must neither be checked nor sent.
    for (const field of fields.querySelectorAll('input, select, textarea')) field.disabled = fields.hidden;
  }
  document.querySelector(`input[name=stream][value=${name}]`).checked = true;
  showCurl();
}

async function start() {
  leave();
  const stream = streams[chosen];
  const form = new FormData(controls);
  clear();
  if (stream.shared) check = new GapCheck(null); // the call may be older than this reader
  const number = String(runs);
  say('Starting …');
  pill('connecting');
  let url;
  try {
    url = await stream.url(form);
  } catch (error) {
    say(error.message, true);
    pill('refused');
    return;
  }
  if (number !== String(runs)) return; // another one was started meanwhile
  view = stream.view(byId('view'), form);
  // The two keys tell the page's server whose connection this is. The bridge ignores keys that begin with "_".
  const tapped = `${url}${url.includes('?') ? '&' : '?'}_tap=${wire.tap}&_run=${number}`;
  const mine = () => number === String(runs);
  run = new Run(tapped, stream.types, {
    event: (type, data) => mine() && onEvent(type, data),
    control: (type, data) => mine() && onControl(type, data),
    state: () => mine() && onState(),
  });
  run.path = url;
  run.shared = stream.shared === true;
  onState();
  showCurl();
}

/** Forgets what is on the screen. */
function clear() {
  run = undefined;
  runs++; // whatever the old run still has to say, it is not heard
  check = new GapCheck();
  wire.begin(String(runs));
  clearTimeline();
  clearFrames();
  byId('view').replaceChildren();
  byId('cut').disabled = byId('stop').disabled = true;
  pill('idle');
  say('Start the stream, then cut its connection.');
  showNumbers();
}

/** Ends what runs, before something else begins. */
function leave() {
  if (!run?.going) return;
  if (!run.shared) run.cancel().catch(() => {}); // it would end by itself a little later
  run.close();
}

function onEvent(type, data) {
  check.add(data.sequence, run.connections, run.inSnapshot ? 'snapshot' : run.catchingUp ? 'waited' : 'ok');
  view.event(type, data);
  showNumbers();
}

function onControl(type, data) {
  if (type === 'stream.open' && run.connections > 1) {
    say(data.resumed ? 'Reconnected: the bridge goes on after the last event that the browser has.' : `Reconnected, but not resumed: ${data.reason}.`, !data.resumed);
  }
  if (type === 'stream.reset') {
    check.reset(run.connections);
    view.reset();
    say(`The bridge says that what follows does not continue what came before: ${data.reason}.`, true);
  }
  if (type === 'stream.waiting') say(`The backend cannot be reached (${data.code}). The connection is held.`, true);
  if (type === 'stream.busy') say(`The bridge ends this connection, not the stream: ${data.reason}.`);
  if (type === 'stream.end') view.ended();
  showNumbers();
}

function onState() {
  pill(run.state === 'reconnecting' && run.status ? 'ending' : run.state);
  const live = run.state === 'live';
  byId('cut').disabled = !live || run.status !== undefined;
  byId('stop').disabled = !run.going || run.status !== undefined;
  byId('start').textContent = run.going ? 'Start again' : streams[chosen].start;
  switch (run.state) {
    case 'connecting':
      say('Connecting …');
      break;
    case 'live':
      if (run.connections === 0) say('Live. Now cut the connection.');
      break;
    case 'reconnecting':
      say(run.status ? 'The stream has ended. EventSource asks once more, and will be told to stop.' : 'The connection is lost. EventSource waits a moment, then comes back with the last id …');
      break;
    case 'ended':
      view?.ended();
      say(endText(), run.status?.code > 0 && run.status.status !== 'CANCELLED');
      break;
    case 'refused':
      view?.ended();
      say('Refused: EventSource stops, and cannot say why.', true);
      setTimeout(explain, 300, run);
  }
  showNumbers();
}

function endText() {
  if (!run.status) return run.shared ? 'Left. The call goes on for other readers, and for a while without any.' : 'Closed.';
  if (!run.status.code) return 'Ended with OK. EventSource was told to stop (204), and did.';
  return `Ended with ${run.status.status}: ${run.status.message || 'no message'}.`;
}

/** EventSource hides why it was refused; the page's server saw it. */
function explain(refused) {
  const answer = wire.newest;
  if (refused !== run || !(answer?.status >= 400)) return;
  let detail = '';
  try {
    const problem = JSON.parse(answer.rest);
    detail = `: ${problem.detail ?? problem.title}`;
  } catch {
    // Not a problem body.
  }
  say(`Refused with HTTP ${answer.status}${detail}`, true);
}

async function cut() {
  if (!run?.going) return;
  say('Cutting in the middle of the next frame …');
  const response = await fetch('/demo/cut', { method: 'POST', body: JSON.stringify({ tap: wire.tap, run: String(runs) }) });
  if (response.ok && (await response.json()).connections === 0) say('There is no connection to cut just now.');
}

function say(text, bad = false) {
  const status = byId('status');
  status.textContent = text;
  status.classList.toggle('bad', bad);
}

function pill(state) {
  const node = byId('state');
  node.dataset.state = state;
  node.textContent = STATES[state];
}

function showCurl() {
  const path = run?.path ?? { chat: '/v1/chat?prompt=Hello', tasks: '/v1/tasks/{task_id}/events', prices: '/v1/prices', feed: '/v1/feed' }[chosen];
  byId('curl').textContent = `curl -N '${location.origin}${path}'`;
}

for (const input of document.querySelectorAll('input[name=stream]')) {
  input.addEventListener('change', () => choose(input.value));
}
for (const button of document.querySelectorAll('[data-prompt]')) {
  button.addEventListener('click', () => {
    controls.elements.prompt.value = button.dataset.prompt;
    controls.requestSubmit();
  });
}
controls.addEventListener('submit', (event) => {
  event.preventDefault();
  start();
});
byId('cut').addEventListener('click', cut);
byId('stop').addEventListener('click', () => {
  if (run?.shared) run.close();
  else run?.cancel().catch((error) => say(`Could not stop the call: ${error.message}`, true));
});
byId('follow').addEventListener('change', () => showFrames(wire.connections));
byId('copy').addEventListener('click', async () => {
  try {
    await navigator.clipboard.writeText(byId('curl').textContent);
    byId('copy').textContent = 'Copied';
  } catch { // not allowed, or not there: it needs HTTPS or localhost
    getSelection().selectAllChildren(byId('curl'));
    byId('copy').textContent = 'Selected';
  }
  setTimeout(() => (byId('copy').textContent = 'Copy'), 1500);
});
setInterval(() => {
  if (byId('keep-cutting').checked && run?.state === 'live' && run.status === undefined) cut();
}, 4000);

// /?stream=feed chooses a stream, and /?stream=feed&start starts it.
const asked = new URLSearchParams(location.search);
choose(Object.hasOwn(streams, asked.get('stream')) ? asked.get('stream') : 'chat');
byId('start').disabled = false; // pressed earlier, it would send the form and load the page anew
if (asked.has('start')) start();
