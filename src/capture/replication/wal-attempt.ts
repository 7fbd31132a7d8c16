import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Client } from 'pg'
import { LogicalReplicationService } from 'pg-logical-replication'
import { SyncError } from '../../errors.js'
import { type Lsn, parseLsn } from '../../lsn.js'
import { computeLivenessTimings, evaluateLiveness, type LivenessTimings } from './liveness.js'
import { PgoutputParser } from './pgoutput.js'
import type { PgoutputMessage } from './pgoutput-messages.js'
import { ReadGate } from './read-gate.js'
import { standbyStatusUpdate } from './standby-status.js'
import { prepareSession, startReplicationSql } from './start-replication.js'
import type { AttemptOptions } from './wal-stream-options.js'

/** What `pg` has and its types leave out. */
interface ReplicationConnection {
  readonly stream: Duplex
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

interface PgInternals {
  readonly connection: ReplicationConnection
}

interface Streaming {
  readonly connection: ReplicationConnection
  readonly gate: ReadGate
  readonly liveness: LivenessTimings
  readonly timer: NodeJS.Timeout
}

const NOTHING: PgoutputMessage = { kind: 'skipped' }

/**
 * One attempt to read the slot, from connecting to the end of the connection. `pg-logical-replication` carries the
 * connection; its own acks, timers, flow control and parser are not used, because they confirm rows that nobody stored
 * or let memory grow without bound. The library's instance is used once: a second subscription would start too late.
 */
export class WalAttempt {
  readonly #options: AttemptOptions
  readonly #service: LogicalReplicationService
  readonly #subscribed: Promise<void>
  readonly #ended: Promise<void>
  #settleEnded: (error: unknown) => void = () => {}
  #state: 'starting' | 'streaming' | 'closing' | 'ended' = 'starting'
  #socket: Socket | null = null
  #prepared: { connection: ReplicationConnection; liveness: LivenessTimings } | null = null
  #streaming: Streaming | null = null
  #deadline: NodeJS.Timeout
  #held: boolean
  #acked: Lsn = 0n
  #lastReceivedAt = 0
  #arrived = 0
  #walEnd: Lsn = 0n
  #pid: number | null = null
  #lastSentAt = 0

  constructor(options: AttemptOptions, held: boolean) {
    this.#options = options
    this.#held = held
    this.#ended = new Promise((resolve, reject) => {
      this.#settleEnded = (error) => (error === null ? resolve() : reject(error))
    })
    this.#ended.catch(() => {})
    this.#service = new LogicalReplicationService(
      {
        keepAlive: true,
        keepAliveInitialDelayMillis: 10_000,
        fallback_application_name: 'safetykit-sync',
        ...options.connection,
        stream: () => this.#createSocket(),
      },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
    )
    this.#service.on('error', (error) => this.#end(error))
    this.#service.on('start', () => this.#guard(() => this.#started()))
    this.#service.on('data', (lsn, message: PgoutputMessage) => this.#guard(() => this.#message(lsn, message)))
    this.#service.on('heartbeat', (lsn, _time, wantsReply) =>
      this.#guard(() => this.#keepalive(parseLsn(lsn), wantsReply)),
    )
    this.#deadline = setTimeout(
      () => this.#end(new SyncError('DATABASE_UNREACHABLE', 'Replication did not start in time', { retryable: true })),
      options.timings.startTimeoutMs,
    )
    const parser = new PgoutputParser(options.consumer.select)
    const plugin = {
      name: 'pgoutput',
      options: {},
      start: (client: Client) => this.#start(client),
      parse: (buffer: Buffer) => (this.#state === 'streaming' ? parser.parse(buffer) : NOTHING),
    }
    this.#subscribed = this.#service.subscribe(plugin, options.slot, '0/0').then(
      () => this.#end(new SyncError('STREAM_BROKEN', 'The server ended the stream', { retryable: true })),
      (error: unknown) => this.#end(error),
    )
  }

  /** Resolves when the attempt was stopped, rejects with what ended it; the connection is closed by then. */
  get ended(): Promise<void> {
    return this.#ended
  }

  /** Whether the server has begun to stream. */
  get started(): boolean {
    return this.#streaming !== null
  }

  /** Grows with all that brings the stream on: messages, and keepalives that tell of a further position. */
  get arrived(): number {
    return this.#arrived
  }

  /** The server's process at the other end; `null` before it was asked. */
  get pid(): number | null {
    return this.#pid
  }

  /** Ends the attempt as if the connection had broken. */
  interrupt(error: SyncError): void {
    this.#end(error)
  }

  hold(): void {
    this.#held = true
    this.#streaming?.gate.hold()
  }

  release(): void {
    this.#held = false
    this.#lastReceivedAt = this.#options.now()
    this.#streaming?.gate.release()
  }

  /** Acks what is confirmed, if that moved. */
  flushAcks(): void {
    this.#guard(() => {
      if (this.#state === 'streaming' && this.#options.consumer.confirmed() > this.#acked) this.#sendStatus(false)
    })
  }

  /** Takes no more, acks a last time, lets the server see the end; within `closeTimeoutMs` whatever the server does. */
  async stop(): Promise<void> {
    if (this.#state === 'streaming' && this.#streaming !== null) {
      const { connection, gate, timer } = this.#streaming
      this.#guard(() => this.#sendStatus(false))
      if (this.#state === 'streaming') {
        this.#state = 'closing'
        clearInterval(timer)
        // The server answers with its own CopyDone, behind what it had already written, so the socket has to flow.
        connection.endCopyFrom()
        gate.close()
        this.#deadline = setTimeout(() => this.#socket?.destroy(), this.#options.timings.closeTimeoutMs)
      }
    } else if (this.#state === 'starting') this.#end(null)
    await this.#ended.catch(() => {})
  }

  /** The raw socket is ours, so that it can be destroyed at any stage, TLS and login included. */
  #createSocket(): Socket {
    // A mark of one byte makes a pause stop the reading at once, instead of after 16 KB of wake-ups.
    const socket = new Socket({ readableHighWaterMark: 1 } as ConstructorParameters<typeof Socket>[0])
    this.#socket = socket
    // Stopped before there was a socket: the next tick comes after the library has begun to connect it.
    if (this.#state === 'ended') process.nextTick(() => socket.destroy())
    return socket
  }

  async #start(client: Client): Promise<unknown> {
    const { slot, publication, sessionSettings, timings } = this.#options
    const { versionNum, walSenderTimeoutMs, pid } = await prepareSession(client, sessionSettings)
    const { connection } = client as unknown as PgInternals
    this.#pid = pid
    this.#prepared = { connection, liveness: { ...computeLivenessTimings(walSenderTimeoutMs), ...timings.liveness } }
    return client.query(startReplicationSql(slot, publication, versionNum))
  }

  #started(): void {
    const { timings, consumer, now } = this.#options
    if (this.#state !== 'starting' || this.#prepared === null) return
    clearTimeout(this.#deadline)
    const { connection, liveness } = this.#prepared
    this.#lastReceivedAt = this.#lastSentAt = now()
    const gate = new ReadGate(connection.stream, timings, {
      held: this.#held,
      onRead: () => {
        this.#lastReceivedAt = now()
      },
    })
    const tickMs = Math.min(timings.ackIntervalMs, liveness.statusIntervalMs / 2)
    const timer = setInterval(() => this.#guard(() => this.#tick(liveness)), tickMs)
    this.#streaming = { connection, gate, liveness, timer }
    this.#state = 'streaming'
    consumer.onStart()
  }

  #message(lsn: string, message: PgoutputMessage): void {
    this.#arrived += 1
    if (message.kind === 'skipped' || this.#state !== 'streaming') return
    if (message.kind === 'unreadable') throw message.error
    this.#options.consumer.onMessage(message, parseLsn(lsn))
  }

  #keepalive(walEnd: Lsn, wantsReply: boolean): void {
    if (this.#state !== 'streaming') return
    if (walEnd > this.#walEnd) {
      this.#walEnd = walEnd
      this.#arrived += 1
    }
    this.#options.consumer.onKeepalive(walEnd)
    if (!wantsReply) return
    this.#sendStatus(false)
    // A server that shuts down waits until what we have flushed is all it has sent, or, where nothing is flushed, what
    // we have written. So with work still unsettled we say the latter: it confirms nothing and lets the server go.
    if (this.#acked < walEnd) this.#send({ written: walEnd, flushed: 0n, askForReply: false })
  }

  #tick(liveness: LivenessTimings): void {
    if (this.#state !== 'streaming') return
    const verdict = evaluateLiveness(
      {
        now: this.#options.now(),
        lastReceivedAt: this.#lastReceivedAt,
        lastSentAt: this.#lastSentAt,
        paused: this.#held,
      },
      liveness,
    )
    if (verdict === 'dead') throw new SyncError('STREAM_BROKEN', 'The server fell silent', { retryable: true })
    if (verdict !== 'ok') this.#sendStatus(verdict === 'ping')
    else this.flushAcks()
  }

  #sendStatus(askForReply: boolean): void {
    if (this.#state !== 'streaming') return
    const confirmed = this.#options.consumer.confirmed()
    if (confirmed > this.#acked) this.#acked = confirmed
    this.#send({ written: this.#acked, flushed: this.#acked, askForReply })
  }

  #send(status: { written: Lsn; flushed: Lsn; askForReply: boolean }): void {
    this.#streaming?.connection.sendCopyFromChunk(standbyStatusUpdate({ ...status, nowMs: Date.now() }))
    this.#lastSentAt = this.#options.now()
  }

  /** What is thrown here would be thrown at the socket, and take the process down. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#end(
        error instanceof SyncError
          ? error
          : new SyncError('INTERNAL', "The stream's consumer failed", { cause: error }),
      )
    }
  }

  /** The one way to the end. `null` is the wanted one. */
  #end(error: unknown): void {
    if (this.#state === 'ended') return
    const stopped = this.#state === 'closing' || error === null
    const polite = this.#state === 'closing' && !this.#socket?.destroyed
    this.#state = 'ended'
    if (this.#streaming !== null) clearInterval(this.#streaming.timer)
    this.#streaming?.gate.close()
    // A server that saw our CopyDone is left politely, and has until the deadline of `stop` to close.
    if (!polite) this.#socket?.destroy()
    const settle = (): void => {
      clearTimeout(this.#deadline)
      this.#settleEnded(stopped ? null : error)
    }
    // In this order: a client that is told to end while it connects never answers whoever waits for the connection.
    void this.#subscribed.then(() => this.#service.stop()).then(settle, settle)
  }
}
