// The gap check on the screen: the verdict, the numbers, and one square for every event.
import { byId, colour, el, plural } from './dom.js';

const SHOWN = 480;

export function showCheck(check, run) {
  const verdict = byId('verdict');
  const [kind, title, text] = judge(check, run);
  verdict.dataset.verdict = kind;
  verdict.querySelector('b').textContent = title;
  verdict.querySelector('small').textContent = text;
  byId('n-events').textContent = check.events;
  byId('n-missing').textContent = check.missing.size;
  byId('n-twice').textContent = check.twice;
  byId('n-resumed').textContent = run?.resumed ?? 0;
  byId('last-id').textContent = run?.lastId || '–';
  const tape = byId('tape');
  tape.setAttribute('aria-label', `${title}. ${text}`);
  tape.replaceChildren(...check.tape.slice(-SHOWN).map(cell));
}

function judge(check, run) {
  if (check.events === 0) return ['none', 'Nothing received yet', 'Every event carries a number. Each must come, once.'];
  const after = run.connections > 1 ? `over ${plural(run.connections, 'connection')}` : `on one connection${run.going ? ' so far' : ''}`;
  if (!check.good) {
    const numbers = [...check.missing].slice(0, 5).join(', ') + (check.missing.size > 5 ? ' …' : '');
    return ['bad', 'Something is wrong', `${check.missing.size} missing${numbers && ` (${numbers})`}, ${check.twice} twice, ${after}`];
  }
  const range = check.first === check.last ? `Event ${check.last}` : `Events ${check.first} to ${check.last}`;
  const resets = check.resets > 0 ? `; the bridge announced ${plural(check.resets, 'reset')}` : '';
  return [check.resets ? 'reset' : 'good', 'None missing, none twice', `${range}, in order, ${after}${resets}`];
}

function cell({ sequence, connection, kind }) {
  const title = {
    ok: `Event ${sequence}, connection ${connection}`,
    waited: `Event ${sequence}, connection ${connection}: it had been waiting`,
    snapshot: `Event ${sequence}, connection ${connection}: the newest of its key when the connection began`,
    missing: `Event ${sequence} is missing`,
    twice: `Event ${sequence} came again on connection ${connection}`,
    reset: 'stream.reset: what follows does not continue what came before',
  }[kind];
  return el(`i.${kind}.${colour(Math.max(connection, 1))}`, { title });
}
