import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../logger.js'
import { type HttpServer, startHttpServer } from './http-server.js'

export interface WebhookServerOptions {
  readonly port: number
  readonly host: string
  readonly handle: (request: Request) => Promise<Response>
  readonly logger: Logger
}

const paths = ['/', '/webhook']

/** What is left of a body that is too large is read for so long. */
const drainMs = 5_000

/**
 * Serves webhooks at `/webhook` and `/`.
 * @throws {SyncError} `CONFIG_INVALID` where the port cannot be listened at.
 */
export function startWebhookServer({ handle, ...options }: WebhookServerOptions): Promise<HttpServer> {
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse) => serve(incoming, outgoing, handle)
  return startHttpServer({ ...options, answer, what: 'Webhooks', flag: '--webhook' })
}

async function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  handle: (request: Request) => Promise<Response>,
): Promise<void> {
  const { pathname } = new URL(incoming.url ?? '/', 'http://webhook')
  const chunks = incoming[Symbol.asyncIterator]()
  const response = paths.includes(pathname)
    ? await handle(requestOf(incoming, pathname, chunks))
    : Response.json({ error: 'webhooks are taken at /webhook' }, { status: 404 })
  const body = Buffer.from(await response.arrayBuffer())
  const headers = Object.fromEntries(response.headers)
  if (!incoming.complete) {
    // Whoever is still sending does not see an answer.
    await Promise.race([readToEnd(chunks), sleep(drainMs, undefined, { ref: false })])
    headers.connection = 'close'
  }
  outgoing.writeHead(response.status, { ...headers, 'content-length': body.length })
  outgoing.end(body)
}

async function readToEnd(chunks: AsyncIterator<unknown>): Promise<void> {
  while ((await chunks.next()).done !== true);
}

function requestOf(incoming: IncomingMessage, pathname: string, chunks: AsyncIterator<Uint8Array>): Request {
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  const { method = 'GET' } = incoming
  const hasBody = method !== 'GET' && method !== 'HEAD'
  return new Request(new URL(pathname, 'http://webhook'), {
    method,
    headers,
    ...(hasBody ? { body: streamOf(chunks), duplex: 'half' } : {}),
  })
}

/** Unlike the one that Node makes of a stream: cancelling it does not break the connection, which is to have an answer. */
const streamOf = (chunks: AsyncIterator<Uint8Array>): ReadableStream<Uint8Array> =>
  new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
  })
