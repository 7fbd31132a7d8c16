import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A TCP proxy that can be told to misbehave. */
export interface TcpProxy {
  readonly port: number
  /** The same URL, through the proxy. */
  url(url: string): string
  /** Connections that are open through it. */
  connections(): number
  /** Swallows everything in both directions and keeps the connections open: a peer that is gone without a word. */
  blackHole(): void
  /** Every chunk is late by this much. */
  delay(ms: number): void
  /** New connections are closed at once. */
  refuse(): void
  /** Breaks all connections with a reset; new ones work. */
  cut(): void
  /** Works again. What went through a black hole has lost bytes, so those connections are cut. */
  heal(): void
  close(): Promise<void>
}

export async function tcpProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl)
  const sockets = new Set<Socket>()
  let mode: 'open' | 'black-hole' | 'refuse' = 'open'
  let delayMs = 0

  const server = createServer((inbound) => {
    if (mode === 'refuse') {
      inbound.destroy()
      return
    }
    const outbound = connect(Number(target.port || 5432), target.hostname)
    forward(inbound, outbound)
    forward(outbound, inbound)
  })

  const forward = (from: Socket, to: Socket): void => {
    sockets.add(from)
    let queue = Promise.resolve()
    const later = (work: () => void): void => {
      if (delayMs === 0) queue = queue.then(work)
      else queue = Promise.all([queue, sleep(delayMs)]).then(work)
    }
    from.on('data', (chunk) => {
      if (mode === 'black-hole') return
      later(() => {
        if (!to.destroyed && !to.write(chunk)) {
          from.pause()
          to.once('drain', () => from.resume())
        }
      })
    })
    from.on('end', () => mode !== 'black-hole' && later(() => to.end()))
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      if (mode !== 'black-hole') later(() => to.destroy())
    })
  }

  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    url(url) {
      const through = new URL(url)
      through.hostname = '127.0.0.1'
      through.port = String(port)
      return through.href
    },
    connections: () => sockets.size / 2,
    blackHole() {
      mode = 'black-hole'
    },
    delay(ms) {
      delayMs = ms
    },
    refuse() {
      mode = 'refuse'
    },
    cut,
    heal() {
      if (mode === 'black-hole') cut()
      mode = 'open'
      delayMs = 0
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
