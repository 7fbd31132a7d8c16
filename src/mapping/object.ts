import { fingerprint } from './fingerprint.js'
import { quote } from './json-text.js'

/** A row as a namespace sees it, serialised once. */
export interface MappedObject {
  readonly id: string
  /** The JSON text that is sent, `{"id":"…",…}`. It holds no line break. */
  readonly json: string
  /** Of `json`; equal for equal content, whichever door the row came through. */
  readonly fingerprint: string
}

/** What is sent for a deleted row under `onDelete: 'tombstone'`: the API has no call that deletes an object. */
export function tombstone(id: string): MappedObject {
  const json = `{"id":${quote(id)},"deleted":true}`
  return { id, json, fingerprint: fingerprint(json) }
}
