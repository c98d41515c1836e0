import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GapCheck } from '../static/gapcheck.js';
import { CONTROL, Run } from '../static/run.js';
import { Wire } from '../static/wire.js';

/** An EventSource that does what the test says. */
class FakeSource {
  static CLOSED = 2;
  static made = [];
  readyState = 1;
  #listeners = new Map();
  constructor(url) {
    this.url = url;
    FakeSource.made.push(this);
  }
  addEventListener(type, listener) {
    this.#listeners.set(type, listener);
  }
  emit(type, data = {}, lastEventId = '') {
    this.#listeners.get(type)?.({ data: typeof data === 'string' ? data : JSON.stringify(data), lastEventId });
  }
  close() {
    this.readyState = FakeSource.CLOSED;
  }
}
globalThis.EventSource = FakeSource;

function checked(...steps) {
  const check = new GapCheck();
  for (const step of steps) {
    if (step === 'reset') check.reset(1);
    else check.add(step, 1);
  }
  return { events: check.events, missing: [...check.missing], twice: check.twice, good: check.good };
}

test('gap check', () => {
  assert.deepEqual(checked(1, 2, 3), { events: 3, missing: [], twice: 0, good: true });
  assert.deepEqual(checked(2, 3), { events: 2, missing: [1], twice: 0, good: false });
  assert.deepEqual(checked(1, 2, 5), { events: 3, missing: [3, 4], twice: 0, good: false });
  assert.deepEqual(checked(1, 2, 2, 3), { events: 3, missing: [], twice: 1, good: false });
  assert.deepEqual(checked(1, 3, 2), { events: 3, missing: [], twice: 0, good: true });
  assert.deepEqual(checked(1, 2, 'reset', 1, 2), { events: 4, missing: [], twice: 0, good: true });
  assert.deepEqual(checked(1, 2, 'reset', 9, 11), { events: 4, missing: [10], twice: 0, good: false });
});

test('gap check of a shared stream', () => {
  const late = new GapCheck(null);
  for (const n of [5, 6]) late.add(n, 1);
  assert.deepEqual([late.events, late.missing.size, late.first], [2, 0, 5]);
  const check = new GapCheck(null);
  for (const n of [41, 45, 48]) check.add(n, 1, 'snapshot');
  check.add(49, 1);
  assert.deepEqual([check.events, check.missing.size, check.twice, check.first, check.last], [4, 0, 0, 41, 49]);
  check.add(51, 1); // what follows a snapshot must follow it without a gap
  assert.deepEqual([...check.missing], [50]);
  for (const n of [51, 60]) check.add(n, 2, 'snapshot');
  assert.deepEqual([check.events, check.missing.size, check.twice], [6, 1, 1]);
  assert.deepEqual(check.tape.map((cell) => cell.kind), ['snapshot', 'snapshot', 'snapshot', 'ok', 'missing', 'ok', 'twice', 'snapshot']);
});

test('the tape is bounded', () => {
  const check = new GapCheck();
  for (let i = 1; i <= 5000; i++) check.add(i, 1);
  assert.ok(check.tape.length <= 1200);
  assert.equal(check.tape.at(-1).sequence, 5000);
});

function run() {
  const seen = [];
  const note = (...what) => seen.push(what);
  const r = new Run('/x', ['token'], { event: (...a) => note('event', ...a), control: (...a) => note('control', ...a), state: () => note('state', r.state) });
  return { r, seen, source: FakeSource.made.at(-1) };
}

test('a run that is resumed and ends', () => {
  const { r, seen, source } = run();
  source.emit('open');
  source.emit('stream.open', { resumed: false }, '0.a');
  source.emit('token', { sequence: 1 }, '1.a');
  source.emit('error');
  source.emit('open');
  source.emit('stream.open', { resumed: true }, '1.a');
  source.emit('stream.end', { code: 0, status: 'OK' }, '2.a.end');
  source.readyState = FakeSource.CLOSED;
  source.emit('error');
  assert.deepEqual(seen.filter(([what]) => what === 'state').map(([, state]) => state), ['live', 'reconnecting', 'live', 'ended']);
  assert.deepEqual(seen.filter(([what]) => what === 'event'), [['event', 'token', { sequence: 1 }]]);
  assert.equal(r.connections, 2);
  assert.equal(r.resumed, 1);
  assert.equal(r.lastId, '2.a.end');
  assert.equal(r.going, false);
});

test('a run that is refused', () => {
  const { r, source } = run();
  source.readyState = FakeSource.CLOSED;
  source.emit('error');
  assert.equal(r.state, 'refused');
});

test('events of a snapshot', () => {
  const { r, source } = run();
  for (const [id, want] of [['7.abc~s9', true], ['7.abc~s9~cAA', true], ['9.abc', false], ['9.abs9~cs9', false]]) {
    source.emit('token', { sequence: 1 }, id);
    assert.equal(r.inSnapshot, want, id);
  }
});

test('leftovers of a torn frame in front of the first frame', () => {
  const { r, source } = run();
  source.emit('stream.open', '{"sequence":\n\n{"resumed":true}', '1.a');
  assert.equal(r.connections, 1);
  assert.equal(r.resumed, 0);
  assert.ok(CONTROL.includes('stream.end'));
});

test('frames on the wire', () => {
  const wire = new Wire('tap', () => {});
  const source = FakeSource.made.at(-1);
  wire.begin('1');
  const say = (type, note) => source.emit(type, { run: '1', connection: 4, at: 1000, ...note });
  say('open-connection', { method: 'GET', url: '/v1/feed', lastEventId: '7.x' });
  say('head', { status: 200, header: { 'Content-Type': ['text/event-stream; charset=utf-8'] } });
  say('bytes', { text: ':\nretry: 2000\nid: 7.x\nevent: stream.open\ndata: {"resu' });
  say('bytes', { text: 'med":true}\n\nid: 8.x\nevent: deploy\ndata: {"sequence":8}\n\n:\n\nid: 9' });
  assert.equal(wire.connections[0].snapshot, 0);
  source.emit('bytes', { run: '0', connection: 4, text: 'of an older run' });
  say('close-connection', { at: 2000, why: 'cut' });
  const [c] = wire.connections;
  assert.deepEqual(c.frames.map((frame) => [frame.type, frame.id]), [['stream.open', '7.x'], ['deploy', '8.x'], ['', '']]);
  assert.deepEqual([c.rest, c.why, c.events, c.first, c.last, c.waiting, c.retry, c.opened], ['id: 9', 'cut', 1, 8, 8, 1, 2000, true]);
});
