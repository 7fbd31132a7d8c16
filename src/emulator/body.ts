import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { isRecord } from './settings.js'

/**
 * Reads a whole body; rejects when the client goes away. What is too large is read to its end and dropped: a client that
 * is still sending would not see the answer.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | 'too-large'> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = []
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= maxBytes) chunks.push(chunk)
      else chunks = []
    })
    request.on('end', () => {
      if (bytes > maxBytes) resolve('too-large')
      else resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
    })
    request.on('error', reject)
  })
}

/** `undefined` is not JSON. */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) return undefined
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

/** What is wrong with a value that should be an object to store, or `null`. */
export function mistakeInObject(value: unknown): string | null {
  if (!isRecord(value)) return 'is not a JSON object'
  const { id } = value
  if (typeof id !== 'string') return id === undefined ? 'has no id' : 'has an id that is not a string'
  return id === '' ? 'has an empty id' : null
}
