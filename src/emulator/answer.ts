/** What is sent back. */
export interface Answer {
  readonly status: number
  /** In blocks where it may be large; it then has no `Content-Length`. */
  readonly body: string | Iterable<string>
  /** Default: `application/json`. */
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

export function json(status: number, value: unknown): Answer {
  return { status, body: JSON.stringify(value) }
}

/** How the API says no: `{ "error": { "code", "message" } }`. The contract does not fix the shape: read it leniently. */
export function refusal(status: number, code: string, message: string): Answer {
  return json(status, { error: { code, message } })
}

/** How object storage says no: XML, and nothing of the API's. */
export function storageRefusal(status: number, code: string, message: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`
  return { status, body, type: 'application/xml' }
}
