import { createServer, type Socket } from 'node:net'
import pg from 'pg'

/**
 * Poolers by transactions, as PgBouncer is one: makes up the key for cancelling, refuses replication and parameters that it
 * does not know, and gives a client the first session that is in nobody's transaction.
 */
export async function transactionPooler(url: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const sessions = await Promise.all([open(url), open(url)])
  const clients = new Set<Socket>()
  const server = createServer((socket) => {
    clients.add(socket)
    socket.on('error', () => {})
    let buffer = Buffer.alloc(0)
    let started = false
    let session: Session | null = null
    socket.on('data', (chunk) => {
      buffer = Buffer.concat([buffer, chunk])
      if (!started) {
        if (buffer.length < 4 || buffer.length < buffer.readInt32BE(0)) return
        const startup = buffer.subarray(0, buffer.readInt32BE(0))
        buffer = buffer.subarray(startup.length)
        started = true
        const refused = ['replication', 'statement_timeout'].find((name) => startup.includes(`\0${name}\0`))
        if (refused !== undefined) {
          const fields = Buffer.from(`SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: ${refused}\0\0`)
          return void socket.end(message('E', fields))
        }
        const cancelKey = Buffer.from([0, 0x7f, 0, 1, 1, 2, 3, 4])
        socket.write(Buffer.concat([message('R', Buffer.alloc(4)), message('K', cancelKey), ready]))
      }
      while (buffer.length >= 5 && buffer.length >= 1 + buffer.readInt32BE(1)) {
        const one = buffer.subarray(0, 1 + buffer.readInt32BE(1))
        buffer = buffer.subarray(one.length)
        if (one[0] === 0x58) return void socket.end()
        session ??= sessions.find((free) => free.client === null) ?? null
        if (session === null) return void socket.destroy()
        session.client = socket
        session.onFree = () => {
          session = null
        }
        session.socket.write(one)
      }
    })
    socket.on('close', () => clients.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as { port: number }).port)
  return {
    url: through.href,
    async close() {
      for (const socket of clients) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      for (const { end } of sessions) end()
    },
  }
}

interface Session {
  readonly socket: Socket
  client: Socket | null
  onFree: () => void
  end(): void
}

const message = (type: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(type), length, body])
}
const ready = message('Z', Buffer.from('I'))

/** A session of the server that `pg` has logged in, and whose bytes go to whoever has it. */
async function open(url: string): Promise<Session> {
  const owner = new pg.Client({ connectionString: url })
  owner.on('error', () => {})
  await owner.connect()
  const { stream } = (owner as unknown as { connection: { stream: Socket } }).connection
  stream.removeAllListeners('data')
  const session: Session = { socket: stream, client: null, onFree: () => {}, end: () => stream.destroy() }
  let buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk])
    while (buffer.length >= 5 && buffer.length >= 1 + buffer.readInt32BE(1)) {
      const one = buffer.subarray(0, 1 + buffer.readInt32BE(1))
      buffer = buffer.subarray(one.length)
      const { client } = session
      if (one.toString('latin1', 0, 1) === 'Z' && one.toString('latin1', 5) === 'I') {
        session.client = null
        session.onFree()
      }
      client?.write(one)
    }
  })
  return session
}
