// Whole lines of a response's body. It throws where the body is cut.
export async function* lines(response) {
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
