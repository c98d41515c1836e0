// Without the help of `presenting`: the library's own idea of the last id.
import { post, readWith } from "./fetch-event-source.mjs";

export const read = ({ url, key, body }, seen) => readWith(url, post(key, body), seen);
