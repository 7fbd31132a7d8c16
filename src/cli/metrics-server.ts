import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../logger.js'
import type { Monitor } from '../operate/monitor.js'
import { type HttpServer, startHttpServer } from './http-server.js'

export interface MetricsServerOptions {
  readonly port: number
  readonly host: string
  readonly monitor: Pick<Monitor, 'metrics' | 'contentType' | 'readiness'>
  readonly logger: Logger
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/**
 * Serves `/metrics` for Prometheus; `/healthz`, which is answered as long as the process lives and its loop turns; and
 * `/readyz`, 200 or 503 with the reasons.
 * @throws {SyncError} `CONFIG_INVALID` where the port cannot be listened at.
 */
export function startMetricsServer({ monitor, ...options }: MetricsServerOptions): Promise<HttpServer> {
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const { status, type, body } = await answerOf(incoming, monitor)
    const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' }
    outgoing.writeHead(status, headers)
    outgoing.end(incoming.method === 'HEAD' ? undefined : body)
  }
  return startHttpServer({ ...options, answer, what: 'Metrics', flag: '--metrics' })
}

async function answerOf(incoming: IncomingMessage, monitor: MetricsServerOptions['monitor']): Promise<Answer> {
  if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return json(405, { error: 'only GET is answered here' })
  switch (new URL(incoming.url ?? '/', 'http://metrics').pathname) {
    case '/metrics':
      return { status: 200, type: monitor.contentType, body: await monitor.metrics() }
    case '/healthz':
      return json(200, { alive: true })
    case '/readyz': {
      const readiness = await monitor.readiness()
      return json(readiness.ready ? 200 : 503, readiness)
    }
    default:
      return json(404, { error: 'there is /metrics, /healthz and /readyz' })
  }
}

const json = (status: number, body: object): Answer => ({
  status,
  type: 'application/json; charset=utf-8',
  body: `${JSON.stringify(body, null, 2)}\n`,
})
