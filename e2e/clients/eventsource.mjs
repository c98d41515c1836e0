// EventSource as in browsers: it reads on after every end, until a status other than 200 stops it.
import { EventSource } from "eventsource";

export const types = ["stream.open", "stream.reset", "stream.waiting", "stream.busy", "stream.end", "note", "measure", "message"];

export function read({ url, key }, seen) {
  const source = new EventSource(`${url}&sse.call=${key}`);
  for (const type of types) {
    source.addEventListener(type, (e) => seen.events.push({ type, id: e.lastEventId, data: e.data }));
  }
  return new Promise((resolve) => {
    source.onerror = (e) => {
      if (source.readyState === EventSource.CLOSED) {
        seen.ended = `status ${e.code}`;
        resolve();
      } else {
        seen.errors++;
      }
    };
  });
}
