// Small helpers for making elements and for showing numbers and times.

/** Makes an element: el('li.big', {title: 't'}, 'text', anotherElement). Falsy children are left out. */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag);
  node.classList.add(...classes);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith('data-') || key.startsWith('aria-') || key === 'role') {
      node.setAttribute(key, value);
    } else {
      node[key] = value;
    }
  }
  node.append(...children.filter((child) => child !== undefined && child !== null && child !== false && child !== ''));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** '14:03:22.5' */
export function clock(ms) {
  const at = new Date(ms);
  return `${at.toLocaleTimeString('en-GB')}.${Math.floor(at.getMilliseconds() / 100)}`;
}

/** '0.4 s', '12 s', '3 min' */
export function span(ms) {
  if (ms < 10_000) return `${(Math.max(ms, 0) / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** plural(1, 'event') is '1 event', plural(2, 'event') is '2 events'. */
export const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;

/** A random name of letters and digits. Not crypto.randomUUID: that one needs HTTPS or localhost. */
export function randomName(length) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345';
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => alphabet[byte % alphabet.length]).join('');
}

/** The colour class of a connection, counted from 1. */
export const colour = (connection) => `c${((connection - 1) % 6) + 1}`;

/** Calls render soon, and at most ten times a second, however often the function that is returned is called. */
export function soon(render) {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    setTimeout(() => {
      pending = false;
      render();
    }, 100);
  };
}

/** Makes a list's children equal to nodes. Those that are equal already stay, with their selection and their focus. */
export function showList(list, nodes) {
  const old = [...list.children].reverse(); // compared from the end: new ones come at the beginning
  const kept = nodes.toReversed().map((node, i) => (old[i]?.isEqualNode(node) ? old[i] : node)).reverse();
  for (const child of old) {
    if (!kept.includes(child)) child.remove();
  }
  kept.forEach((node, i) => {
    if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
  });
}
