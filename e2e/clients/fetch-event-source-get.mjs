import { presenting, readWith } from "./fetch-event-source.mjs";

export const read = ({ url, key }, seen) => readWith(`${url}&sse.call=${key}`, {}, seen, presenting(seen));
