// The list of connections: what the browser presented, what it got, and how it ended.
import { byId, clock, colour, el, plural, showList, span } from './dom.js';

const ENDINGS = {
  end: 'Ended by the bridge, in good order',
  client: 'Closed by the browser',
  error: 'Lost',
};

/** What is worth saying about the bridge's own events. */
const CONTROL = {
  'stream.open': (data) => data.resumed ? 'the bridge goes on after this id' : data.reason ? `not resumed: ${data.reason}` : 'a new stream',
  'stream.reset': (data) => `what follows does not continue what came before: ${data.reason}`,
  'stream.waiting': (data) => `the backend cannot be reached (${data.code}), attempt ${data.attempt}`,
  'stream.busy': (data) => `the connection ends, the stream does not: ${data.reason}`,
  'stream.undecodable': (data) => `a message that cannot be shown: ${data.reason}`,
  'stream.bookmark': () => 'everything up to this position has come',
  'stream.end': (data) => data.code ? `${data.status}: ${data.message}` : 'the call ended with OK',
};

export function clearTimeline() {
  byId('timeline').replaceChildren(el('li.empty', {}, 'Each connection of the browser shows up here, with the id that it presented.'));
}

export function showTimeline(connections) {
  const list = byId('timeline');
  if (connections.length === 0) return;
  const items = [];
  let opened = connections.filter((connection) => connection.opened).length;
  for (let i = connections.length - 1; i >= 0; i--) {
    const connection = connections[i];
    items.push(card(connection, i + 1, connection.opened ? colour(opened) : 'c0'));
    if (connection.opened) opened--;
    const before = connections[i - 1];
    if (before?.closedAt) {
      const wait = before.retry ? `; the bridge had asked for ${(before.retry / 1000).toFixed(1)} s (retry: ${before.retry})` : '';
      items.push(el('li.pause', {}, `${span(connection.at - before.closedAt)} without a connection${wait}`));
    }
  }
  showList(list, items);
}

function card(connection, number, hue) {
  const ended = connection.closedAt ? span(connection.closedAt - connection.at) : 'open';
  return el(`li.connection.${hue}`, {},
    el('div.line', {},
      el('b', {}, `Connection ${number}`),
      el('span.code', { title: connection.contentType }, connection.status ? String(connection.status) : '…'),
      el('time', {}, `${clock(connection.at)} · ${ended}`)),
    connection.lastEventId
      ? el('p.presented', {}, 'Last-Event-ID: ', el('code', {}, connection.lastEventId))
      : el('p.presented', {}, 'No Last-Event-ID: the browser asks for the first time'),
    ...connection.control.slice(-6).map((event) =>
      el('p.control', { 'data-type': event.type }, el('code', {}, event.type), ` ${CONTROL[event.type]?.(event.data) ?? ''}`)),
    connection.events > 0 && el('p', {}, received(connection)),
    ending(connection));
}

function received(connection) {
  const range = connection.first === connection.last ? connection.first : `${connection.first} to ${connection.last}`;
  const waiting = connection.waiting > 0 && connection.snapshot === 0 ? `; ${connection.waiting} of them had been waiting and came at once` : '';
  const snapshot = connection.snapshot > 0 ? `; the first ${connection.snapshot} are a snapshot, the newest of each key` : '';
  return `${plural(connection.events, 'event')}: ${range}${snapshot}${waiting}`;
}

function ending(connection) {
  if (!connection.closedAt) return '';
  if (connection.status === 204) return el('p.end', {}, '204 No Content: the stream is over, and EventSource stops asking');
  if (connection.status >= 400) return el('p.end.bad', {}, `HTTP ${connection.status}: EventSource stops asking`);
  if (connection.why !== 'cut') return el('p.end', {}, ENDINGS[connection.why] ?? '');
  const torn = connection.rest.length;
  return el('p.end.bad', {}, torn > 0
    ? `Cut by a TCP reset inside a frame: ${plural(torn, 'character')} of it had arrived`
    : 'Cut by a TCP reset between two frames');
}
