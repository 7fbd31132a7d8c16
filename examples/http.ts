import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { ZodError } from 'zod'

// What a web framework does for an application, as far as the examples need it.

export interface Asked {
  /** The `:id` of the path. */
  readonly id: string
  /** As JSON; `undefined` where there was none. */
  readonly body: unknown
}

/** By method and path: `'GET /products/:id'`. What a route returns is sent as JSON. */
export type Routes = Readonly<Record<string, (asked: Asked) => Promise<unknown>>>

export function createApp(routes: Routes): Server {
  const patterns = Object.entries(routes).map(([route, handle]) => {
    return { pattern: new RegExp(`^${route.replace(':id', '(?<id>[^/?]+)')}$`), handle }
  })
  const answer = async (request: IncomingMessage): Promise<readonly [status: number, body: unknown]> => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    for (const { pattern, handle } of patterns) {
      const match = pattern.exec(`${request.method} ${pathname}`)
      if (match === null) continue
      const body = await readJson(request)
      return [request.method === 'POST' ? 201 : 200, await handle({ id: match.groups?.id ?? '', body })]
    }
    return [404, { error: `There is no ${request.method} ${pathname}`, routes: Object.keys(routes) }]
  }
  return createServer((request, response) => {
    answer(request).then(
      ([status, body]) => send(response, status, body),
      (error: unknown) => send(response, ...refusal(error)),
    )
  })
}

/** Listens, and says where; port 0 is any free one. */
export async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  console.log(`The service listens at http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`)
}

/** Takes no more connections, and resolves once every request is answered. */
export const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()))

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += chunk
  return text === '' ? undefined : JSON.parse(text)
}

function refusal(error: unknown): readonly [status: number, body: unknown] {
  if (error instanceof SyntaxError) return [400, { error: 'The body is not JSON' }]
  if (error instanceof ZodError) return [400, { error: error.issues }]
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  // Prisma's "not found", and its "malformed id"; and what `$safetykit` says where an id is none.
  if (code === 'P2025') return [404, { error: 'There is no such row' }]
  if (code === 'P2023' || code === 'P2007' || code === 'ARGUMENT_INVALID') return [400, { error: 'That is no id' }]
  console.error(error)
  return [500, { error: 'It failed; the log says why' }]
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body, (_, value) => (typeof value === 'bigint' ? String(value) : value), 2)}\n`)
}
