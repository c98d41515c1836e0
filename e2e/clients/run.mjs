// Reads streams with a client that people use: node run.mjs CLIENT
//
// In, as one JSON array:  {url, key, body} for each stream. key names the call (sse.call, Idempotency-Key); body is for
//                         clients that send one.
// Out, as one JSON array: {events: [{type, id, data}], errors, ended} for each. ended is how the client knew that this is
//                         the end, in its own words; "timeout" where it never did.
//
// A client is a module with a function read(stream, seen) that fills seen in and returns when the stream is over.
import { text } from "node:stream/consumers";

const patience = 120_000;

const { read } = await import(`./${process.argv[2]}.mjs`);
const streams = JSON.parse(await text(process.stdin));
const all = streams.map(() => ({ events: [], errors: 0, ended: "timeout" }));
const reading = streams.map((stream, i) =>
  read(stream, all[i]).catch((error) => {
    all[i].ended = `threw ${error.stack}`;
  }),
);
await Promise.race([Promise.all(reading), new Promise((resolve) => setTimeout(resolve, patience))]);
process.stdout.write(JSON.stringify(all), () => process.exit());
