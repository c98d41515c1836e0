// A page that knows onmessage and nothing else.
import { EventSource } from "eventsource";

export function read({ url, key }, seen) {
  const source = new EventSource(`${url}&sse.frames=plain&sse.call=${key}`);
  source.onmessage = (e) => seen.events.push({ type: "message", id: e.lastEventId, data: e.data });
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
