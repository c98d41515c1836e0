// The bytes on the screen.
import { byId, colour, el } from './dom.js';

const SHOWN = 150; // frames of a run

export function showFrames(connections) {
  const box = byId('wire');
  if (connections.length === 0) return;
  let left = SHOWN;
  const parts = [];
  let opened = connections.filter((connection) => connection.opened).length;
  for (let i = connections.length - 1; i >= 0 && left > 0; i--) {
    const connection = connections[i];
    const frames = connection.frames.slice(-left);
    left -= frames.length + 1;
    parts.unshift(section(connection, i + 1, frames, connection.opened ? colour(opened) : 'c0'));
    if (connection.opened) opened--;
  }
  box.replaceChildren(...parts);
  if (byId('follow').checked) box.scrollTop = box.scrollHeight;
}

function section(connection, number, frames, hue) {
  const hidden = connection.dropped + connection.frames.length - frames.length;
  return el(`section.${hue}`, {},
    el('h3', {}, `Connection ${number}`, el('span', {}, `${connection.method} ${connection.url}${connection.status ? ` → ${connection.status}` : ''}`)),
    hidden > 0 && el('p.torn-note', {}, `${hidden} earlier frames are not shown`),
    ...frames.map((frame) => el('pre', { 'data-kind': frame.type.startsWith('stream.') ? 'control' : frame.data ? 'event' : 'comment' }, ...lines(frame.text))),
    connection.rest && el(connection.closedAt && connection.isStream ? 'pre.torn' : 'pre', {}, connection.rest),
    connection.why === 'cut' && el('p.torn-note', {}, connection.rest
      ? '✂ The connection was cut here, in the middle of a frame. The browser throws the torn frame away.'
      : '✂ The connection was cut here.'));
}

/** A frame's lines, with the names of its fields set apart. */
function lines(text) {
  return text.trimEnd().split('\n').flatMap((line, i) => {
    const at = line.indexOf(':');
    const nodes = at > 0 ? [el('b', {}, line.slice(0, at + 1)), line.slice(at + 1)] : [el('i', {}, line === ':' ? ': (a comment: keeps the connection alive)' : line)];
    return i === 0 ? nodes : ['\n', ...nodes];
  });
}
