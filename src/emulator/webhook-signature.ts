import { createHmac } from 'node:crypto'

const secretPrefix = 'whsec_'

/** The bytes of a `whsec_…` secret. Throws a `TypeError` where it is none; the words do not hold it. */
export function secretBytes(secret: unknown): Buffer {
  const encoded = typeof secret === 'string' && secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : ''
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) throw new TypeError('webhook.secret is not whsec_ and base64')
  return Buffer.from(encoded, 'base64')
}

/** The headers of Standard Webhooks; the time is signed too, in whole seconds. */
export function signedHeaders(secret: Buffer, id: string, body: string, now: Date): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1000))
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}
