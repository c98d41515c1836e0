// @microsoft/fetch-event-source, as docs/browsers.md says to use it.
//   - openWhenHidden: it else drops the stream whenever the tab is in the background.
//   - It takes every clean end for the end. Where stream.end did not come before, onclose throws, and it asks again.
//   - It asks again after any error, a status too: onopen and onerror make a status final.
//   - It takes an id as soon as it has read its line, although the rest of the frame may never come; the events it has
//     handed out are what counts, so the request's own fetch presents the id of the last of them.
import { fetchEventSource } from "@microsoft/fetch-event-source";

// It was written for pages only.
globalThis.window = globalThis;
globalThis.document = { removeEventListener() {} };

class Final extends Error {}

export async function readWith(url, request, seen, own = fetch) {
  let over = false;
  await fetchEventSource(url, {
    ...request,
    openWhenHidden: true,
    fetch: own,
    async onopen(response) {
      if (response.status !== 200) throw new Final(`status ${response.status}`);
    },
    onmessage({ event, id, data }) {
      if (event === "") return; // a heartbeat is handed out as an empty message
      seen.events.push({ type: event, id, data });
      over = event === "stream.end";
    },
    onclose() {
      if (!over) throw new Error("ended before stream.end");
    },
    onerror(error) {
      if (error instanceof Final) throw error;
      seen.errors++;
    },
  }).then(
    () => (seen.ended = "resolved"),
    (error) => (seen.ended = error.message),
  );
}

// What was handed out decides where reading goes on.
export function presenting(seen) {
  return (url, init) => {
    const { "last-event-id": _, ...headers } = init.headers;
    const last = seen.events.findLast((e) => e.id)?.id;
    return fetch(url, { ...init, headers: last ? { ...headers, "last-event-id": last } : headers });
  };
}

export const post = (key, body) => ({
  method: "POST",
  headers: { "content-type": "application/json", "idempotency-key": key },
  body: JSON.stringify(body),
});
