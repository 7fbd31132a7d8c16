/** A row as a namespace sees it, serialised once. */
export interface MappedObject {
  readonly id: string
  /** The JSON text that is sent, `{"id":"…",…}`. */
  readonly json: string
  /** Of `json`; equal for equal content, whichever door the row came through. */
  readonly fingerprint: string
}
