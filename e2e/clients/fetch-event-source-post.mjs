import { post, presenting, readWith } from "./fetch-event-source.mjs";

export const read = ({ url, key, body }, seen) => readWith(url, post(key, body), seen, presenting(seen));
