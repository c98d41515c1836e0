// The bytes on the screen. What was shown stays as it is and new frames are added below, so that text can be selected
// and copied while the stream goes on.
import { byId, colour, el } from './dom.js';

const SHOWN = 300; // frames of a run; the oldest are taken away first

/** By connection: {section, list, rest, shown}, shown counting the frames that were ever added. */
const parts = new Map();

export function clearFrames() {
  parts.clear();
  byId('wire').replaceChildren(el('p.empty', {}, 'Nothing yet.'));
}

export function showFrames(connections) {
  const box = byId('wire');
  if (connections.length === 0) return;
  if (parts.size === 0) box.replaceChildren();
  let opened = 0;
  connections.forEach((connection, i) => {
    if (connection.opened) opened++;
    const hue = connection.opened ? colour(opened) : 'c0';
    update(parts.get(connection) ?? begin(connection, i + 1, box), connection, hue);
  });
  prune(box);
  if (byId('follow').checked) box.scrollTop = box.scrollHeight;
}

function begin(connection, number, box) {
  const part = { request: el('span'), list: el('div'), rest: el('div'), shown: 0, restText: '', over: false };
  part.section = el('section', {}, el('h3', {}, `Connection ${number}`, part.request), part.list, part.rest);
  parts.set(connection, part);
  box.append(part.section);
  return part;
}

function update(part, connection, hue) {
  part.section.className = hue;
  part.request.textContent = `${connection.method} ${connection.url}${connection.status ? ` → ${connection.status}` : ''}`;
  const all = connection.dropped + connection.frames.length;
  const added = connection.frames.slice(Math.max(part.shown - connection.dropped, 0));
  part.shown = all;
  part.list.append(...added.map((frame) =>
    el('pre', { 'data-kind': frame.type.startsWith('stream.') ? 'control' : frame.data ? 'event' : 'comment' }, ...lines(frame.text))));
  const over = connection.closedAt > 0;
  if (connection.rest === part.restText && over === part.over) return;
  part.restText = connection.rest;
  part.over = over;
  part.rest.replaceChildren(...tail(connection));
}

/** What came after the last complete frame, and how the connection ended. */
function tail(connection) {
  const nodes = [];
  if (connection.rest) nodes.push(el(connection.closedAt && connection.isStream ? 'pre.torn' : 'pre', {}, connection.rest));
  if (connection.why === 'cut') {
    nodes.push(el('p.torn-note', {}, connection.rest
      ? '✂ The connection was cut here, in the middle of a frame. An event counts only with the empty line behind it, so this one comes again.'
      : '✂ The connection was cut here.'));
  }
  return nodes;
}

/** Takes the oldest frames away, section by section. */
function prune(box) {
  let excess = box.getElementsByTagName('pre').length - SHOWN;
  for (const { list } of parts.values()) {
    while (excess > 0 && list.firstChild) {
      list.firstChild.remove();
      excess--;
    }
  }
}

/** A frame's lines, with the names of its fields set apart. */
function lines(text) {
  return text.trimEnd().split('\n').flatMap((line, i) => {
    const at = line.indexOf(':');
    const nodes = at > 0
      ? [el('b', {}, line.slice(0, at + 1)), line.slice(at + 1)]
      : [line, el('i', {}, ' (a comment: it keeps the connection alive)')];
    return i === 0 ? nodes : ['\n', ...nodes];
  });
}
