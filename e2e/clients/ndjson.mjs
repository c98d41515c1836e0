// Plain fetch: one JSON object a line, {id, event, data}. It goes on from the last id until it has read stream.end, and
// then asks once more, as a client that missed the end would.
import { lines, pause } from "./lines.mjs";

export async function read({ url, key, body }, seen) {
  let last = "";
  for (;;) {
    try {
      const headers = { accept: "application/x-ndjson", "content-type": "application/json", "idempotency-key": key };
      if (last) headers["last-event-id"] = last;
      const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
      if (response.status !== 200) {
        seen.ended = `status ${response.status}`;
        return;
      }
      for await (const line of lines(response)) {
        if (line === "") continue; // a heartbeat
        const { id, event, data } = JSON.parse(line);
        seen.events.push({ type: event, id: id ?? "", data: JSON.stringify(data) });
        last = id ?? last;
      }
    } catch (error) {
      if (error instanceof SyntaxError) throw error;
      seen.errors++;
      await pause(20);
    }
  }
}
