import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SyncError } from '../errors.js'
import type { Logger } from '../logger.js'

export interface HttpServerOptions {
  readonly port: number
  readonly host: string
  readonly answer: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>
  /** What it serves, as the beginning of a message: `Webhooks`; and the beginning of its flags: `--webhook`. */
  readonly what: string
  readonly flag: string
  readonly logger: Logger
}

export interface HttpServer {
  readonly port: number
  /** Takes no more, and answers what is under way. */
  close(): Promise<void>
}

/** An answer under way at the end is waited for so long. */
const closeMs = 5_000

/**
 * Listens.
 * @throws {SyncError} `CONFIG_INVALID` where the port cannot be listened at.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { port, host, answer, what, flag, logger } = options
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch((error: unknown) => {
      logger.debug('A request could not be answered', { error })
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
    throw new SyncError('CONFIG_INVALID', `${what} cannot be served at ${host}:${port}${code}`, {
      cause: error,
      hint: `Choose another port with ${flag}-port (0 is any free one), or an address of this machine with ${flag}-host.`,
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
