// What speaks to a model: it reads data lines up to [DONE] and knows neither ids nor types. Where it is cut it sends the
// same request again, under the same key, and counts: the call is the same one, read from its beginning.
import { lines, pause } from "./lines.mjs";

export async function read({ url, key, body }, seen) {
  for (;;) {
    let n = 0;
    try {
      const response = await fetch(`${url}&sse.frames=plain`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify(body),
      });
      if (response.status !== 200) {
        seen.ended = `status ${response.status}`;
        return;
      }
      for await (const line of lines(response)) {
        if (!line.startsWith("data: ")) continue;
        const data = line.slice("data: ".length);
        if (data === "[DONE]") {
          seen.ended = "[DONE]";
          return;
        }
        if (++n > seen.events.length) seen.events.push({ type: "message", id: "", data });
      }
      throw new Error("ended before [DONE]");
    } catch {
      seen.errors++;
      await pause(20);
    }
  }
}
