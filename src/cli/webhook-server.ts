import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SyncError } from '../errors.js'
import type { Logger } from '../logger.js'

export interface WebhookServerOptions {
  readonly port: number
  readonly host: string
  readonly handle: (request: Request) => Promise<Response>
  readonly logger: Logger
}

export interface WebhookServer {
  readonly port: number
  /** Takes no more, and answers what is under way. */
  close(): Promise<void>
}

const paths = ['/', '/webhook']

/** An answer under way at the end is waited for so long. */
const closeMs = 5_000

/** What is left of a body that is too large is read for so long. */
const drainMs = 5_000

/**
 * Serves webhooks at `/webhook` and `/`.
 * @throws {SyncError} `CONFIG_INVALID` where the port cannot be listened at.
 */
export async function startWebhookServer({ port, host, handle, logger }: WebhookServerOptions): Promise<WebhookServer> {
  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing, handle).catch((error: unknown) => {
      logger.debug('A webhook could not be answered', { error })
      outgoing.destroy()
    })
  })
  server.headersTimeout = 10_000
  server.requestTimeout = 15_000
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new SyncError('CONFIG_INVALID', `Webhooks cannot be served at ${host}:${port}${code}`, {
      cause: error,
      hint: 'Choose another port with --webhook-port (0 is any free one), or an address of this machine with --webhook-host.',
    })
  }
  const address = server.address() as AddressInfo
  return {
    port: address.port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), closeMs)
      await closed
      clearTimeout(timer)
    },
  }
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
