import { setMaxListeners } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A TCP proxy that can be told to misbehave. */
export interface TcpProxy {
  readonly port: number
  /** The same URL, through the proxy. */
  url(url: string): string
  /** Connections that are open through it. */
  connections(): number
  /** Bytes that are late, in all directions. */
  waitingBytes(): number
  /** Swallows everything in both directions and keeps the connections open: a peer that is gone without a word. */
  blackHole(): void
  /** The same for those of the connections open now that are chosen. */
  blackHoleSome(chosen: () => boolean): void
  /** Every chunk is late by this much. */
  delay(ms: number): void
  /** So many bytes a second in each direction of a connection. */
  throttle(bytesPerSecond: number): void
  /** New connections are closed at once. */
  refuse(): void
  /** Breaks all connections with a reset; new ones work. */
  cut(): void
  /** The same for those that are chosen. */
  cutSome(chosen: () => boolean): void
  /** Works again; what is late arrives at once. What went through a black hole has lost bytes, so those connections are cut. */
  heal(): void
  close(): Promise<void>
}

/** More than this waits in no direction of a slow connection: its sender has to wait, too. */
const mostWaitingBytes = 256 * 1024

interface Link {
  readonly ends: readonly [Socket, Socket]
  swallows: boolean
}

export async function tcpProxy(targetUrl: string): Promise<TcpProxy> {
  const target = new URL(targetUrl)
  const links = new Set<Link>()
  let mode: 'open' | 'black-hole' | 'refuse' = 'open'
  let delayMs = 0
  let allWaitingBytes = 0
  let bytesPerSecond = Number.POSITIVE_INFINITY
  let hurry = new AbortController()
  // Each chunk that is late listens.
  setMaxListeners(0, hurry.signal)

  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: hurry.signal }).catch(() => {})

  const server = createServer((inbound) => {
    if (mode === 'refuse') {
      inbound.destroy()
      return
    }
    const outbound = connect(Number(target.port || 5432), target.hostname)
    const link: Link = { ends: [inbound, outbound], swallows: mode === 'black-hole' }
    links.add(link)
    forward(link, inbound, outbound)
    forward(link, outbound, inbound)
  })

  const forward = (link: Link, from: Socket, to: Socket): void => {
    let queue = Promise.resolve()
    let waitingBytes = 0
    const later = (work: () => void, bytes = 0): void => {
      const late = delayMs === 0 ? queue : Promise.all([queue, wait(delayMs)])
      const paceMs = (bytes / bytesPerSecond) * 1000
      queue = late.then(() => (paceMs > 0 ? wait(paceMs) : undefined)).then(work)
    }
    from.on('data', (chunk) => {
      if (link.swallows) return
      waitingBytes += chunk.length
      allWaitingBytes += chunk.length
      if (waitingBytes > mostWaitingBytes) from.pause()
      later(() => {
        waitingBytes -= chunk.length
        allWaitingBytes -= chunk.length
        if (waitingBytes <= mostWaitingBytes && !to.writableNeedDrain) from.resume()
        if (!to.destroyed && !to.write(chunk)) {
          from.pause()
          to.once('drain', () => from.resume())
        }
      }, chunk.length)
    })
    from.on('end', () => link.swallows || later(() => to.end()))
    from.on('error', () => {})
    from.on('close', () => {
      if (link.ends.every((end) => end.destroyed)) links.delete(link)
      if (!link.swallows) later(() => to.destroy())
    })
  }

  const cutSome = (chosen: (link: Link) => boolean): void => {
    for (const link of [...links]) {
      if (!chosen(link)) continue
      for (const end of link.ends) end.resetAndDestroy()
    }
  }
  const cut = (): void => cutSome(() => true)

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
    connections: () => links.size,
    waitingBytes: () => allWaitingBytes,
    blackHole() {
      mode = 'black-hole'
      for (const link of links) link.swallows = true
    },
    blackHoleSome(chosen) {
      for (const link of links) link.swallows ||= chosen()
    },
    delay(ms) {
      delayMs = ms
    },
    throttle(rate) {
      bytesPerSecond = rate
    },
    refuse() {
      mode = 'refuse'
    },
    cut,
    cutSome,
    heal() {
      mode = 'open'
      delayMs = 0
      bytesPerSecond = Number.POSITIVE_INFINITY
      hurry.abort()
      hurry = new AbortController()
      setMaxListeners(0, hurry.signal)
      cutSome((link) => link.swallows)
    },
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
