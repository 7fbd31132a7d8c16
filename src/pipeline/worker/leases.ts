import { randomUUID } from 'node:crypto'
import type { Attendance, Waiting } from '../../capture/dirty.js'
import { type Claimed, type LeaseStore, leaseMs, partitions } from '../../ledger/leases.js'
import type { Logger } from '../../logger.js'

/** Between two renewals. */
const renewMs = 1_500
/** A lease counts as lost so long before it ends: what is sent then arrives before anyone else takes over. */
const marginMs = 1_500
/** A worker that finds nothing for so long gives everything back, so that whoever writes next can take it at once. */
const idleMs = 1_000
/** Between two attempts to get what another worker has. */
const claimMs = 250
/** How far the mark of what may have been sent jumps ahead: one small update for so many keys. */
const step = 10_000n

/** What the queue of keys tells the leases. */
export interface LeasedQueue {
  readonly inHand: number
  inHandOf(partition: number): number
  peek(): Promise<Waiting>
}

interface LeasesOptions {
  readonly store: LeaseStore
  readonly logger: Logger
  /** A partition is another worker's by now: whatever this one still holds of it must not be sent. */
  readonly onLost: () => void
}

interface Partition extends Claimed {
  /** It is to be given back, once the keys in hand are settled. */
  draining: boolean
}

/**
 * The parts of the work that this process has. Only a worker that has something to do takes part; it takes what is free, up
 * to an equal share with the others, and gives everything back when it runs out of work.
 */
export class Leases {
  readonly #options: LeasesOptions
  readonly #holder = randomUUID()
  readonly #partitions = new Map<number, Partition>()
  /** Scans, by name. */
  readonly #scans = new Set<string>()
  #through = 0n
  #validUntilMs = 0
  #others = 0
  #lastClaimMs = Number.NEGATIVE_INFINITY
  #lastWorkMs = 0
  #renewal: NodeJS.Timeout | null = null
  #waiters: (() => void)[] = []
  #resting: (() => void)[] = []
  #ended = false
  #isLost = false

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  /** Partitions and scans that are this worker's. */
  get held(): number {
    return this.#partitions.size + this.#scans.size
  }

  /** Whether what this worker has is still its own. */
  get valid(): boolean {
    return performance.now() < this.#validUntilMs
  }

  /** `null` where something may be sent now; else resolves when it may, or when nothing is to be sent any more. */
  untilValid(): Promise<void> | null {
    if (this.valid || this.#ended) return null
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Whether an earlier holder may have sent this key without recording it. */
  isDoubted(key: { readonly partition: number; readonly seq: bigint }): boolean {
    return key.seq <= (this.#partitions.get(key.partition)?.doubted ?? 0n)
  }

  /** To be awaited before keys up to `seq` are worked. */
  async cover(seq: bigint): Promise<void> {
    this.#lastWorkMs = performance.now()
    if (seq <= this.#through) return
    const through = seq + step
    await this.#options.store.advance(this.#holder, through)
    this.#through = through
  }

  /**
   * Claims what there is to do, gives back what is too much.
   * @param woken something was written just now.
   */
  async attend(queue: LeasedQueue, woken: boolean): Promise<Attendance> {
    if (this.#ended) return { partitions: [], wanting: false }
    const nowMs = performance.now()
    const resting = this.#resting.splice(0)
    try {
      await this.#giveBack(queue, nowMs)
    } finally {
      for (const resolve of resting) resolve()
    }
    let wanting = false
    const due = woken || this.#partitions.size === 0 || nowMs - this.#lastClaimMs > claimMs
    if (due && this.#partitions.size < this.#share()) {
      this.#lastClaimMs = nowMs
      wanting = await this.#claim(queue)
    }
    return {
      partitions: [...this.#partitions].flatMap(([partition, { draining }]) => (draining ? [] : [partition])),
      wanting,
    }
  }

  /** The next look gives everything back at once, unless something is in hand. Resolves after it. */
  rest(): Promise<void> {
    if (this.#ended || this.#renewal === null) return Promise.resolve()
    this.#lastWorkMs = Number.NEGATIVE_INFINITY
    return new Promise((resolve) => this.#resting.push(resolve))
  }

  /** Takes the scan of a table; `false` where another worker has it. */
  async acquireScan(source: string): Promise<boolean> {
    if (this.#ended) return false
    const startedMs = performance.now()
    const name = scanName(source)
    if ((await this.#options.store.acquire(this.#holder, name)) === null) return false
    if (this.#partitions.size === 0 && this.#scans.size === 0) this.#validFrom(startedMs)
    this.#scans.add(name)
    this.#keepRenewing()
    return true
  }

  holdsScan(source: string): boolean {
    return this.valid && this.#scans.has(scanName(source))
  }

  async releaseScan(source: string): Promise<void> {
    const name = scanName(source)
    if (this.#scans.delete(name)) await this.#options.store.release(this.#holder, [name])
  }

  /** Nothing is to be sent any more: lets go of those who wait for a lease. */
  end(): void {
    this.#ended = true
    for (const resolve of [...this.#waiters.splice(0), ...this.#resting.splice(0)]) resolve()
  }

  /** Whether no other worker has had any of what is this one's; asks where that may be. */
  async keep(): Promise<boolean> {
    if (this.#isLost) return false
    if (this.valid || this.#partitions.size === 0) return true
    try {
      await this.#renew()
    } catch (error) {
      this.#options.logger.warn('The leases could not be renewed', { error })
    }
    return this.valid
  }

  /**
   * Gives everything back.
   * @param inDoubt something that was sent could not be recorded: the marks stay for the next holder.
   */
  async release(inDoubt: boolean): Promise<void> {
    if (this.#renewal !== null) clearInterval(this.#renewal)
    this.#renewal = null
    // What is not given back ends by itself, with its marks.
    if (inDoubt || !this.valid) return
    for (const name of this.#scans) await this.#options.store.release(this.#holder, [name])
    await this.#releasePartitions([...this.#partitions.keys()])
    await this.#options.store.leave(this.#holder)
  }

  #share(): number {
    return Math.ceil(partitions / (this.#others + 1))
  }

  /** Returns whether keys wait that another worker has. */
  async #claim(queue: LeasedQueue): Promise<boolean> {
    const { partitions: waiting, newest } = await queue.peek()
    const wanted = waiting.filter((partition) => !this.#partitions.has(partition))
    if (wanted.length === 0) return false
    this.#lastWorkMs = performance.now()
    const through = newest + step > this.#through ? newest + step : this.#through
    if (this.#partitions.size > 0 && through > this.#through) await this.#options.store.advance(this.#holder, through)
    const startedMs = performance.now()
    const { claimed, others } = await this.#options.store.claim({
      holder: this.#holder,
      // So that workers that start together do not all ask for the same.
      names: shuffled(wanted).map(partitionName),
      held: this.#partitions.size,
      through,
    })
    this.#through = through
    this.#others = others
    if (this.#partitions.size === 0 && this.#scans.size === 0) this.#validFrom(startedMs)
    for (const lease of claimed) this.#partitions.set(partitionNumber(lease.name), { ...lease, draining: false })
    this.#keepRenewing()
    return claimed.length < wanted.length
  }

  async #giveBack(queue: LeasedQueue, nowMs: number): Promise<void> {
    const idle = queue.inHand === 0 && nowMs - this.#lastWorkMs > idleMs
    if (idle && this.#renewal !== null) {
      await this.#releasePartitions([...this.#partitions.keys()])
      if (this.#scans.size > 0) return
      clearInterval(this.#renewal)
      this.#renewal = null
      await this.#options.store.leave(this.#holder)
      return
    }
    const drained = [...this.#partitions.values()].filter(({ draining }) => draining).length
    let more = this.#partitions.size - this.#share() - drained
    for (const [partition, lease] of this.#partitions) {
      if (more > 0 && !lease.draining) {
        lease.draining = true
        more -= 1
      } else if (more < 0 && lease.draining) {
        lease.draining = false
        more += 1
      }
      if (lease.draining && queue.inHandOf(partition) === 0) await this.#releasePartitions([partition])
    }
  }

  async #releasePartitions(numbers: readonly number[]): Promise<void> {
    if (numbers.length === 0) return
    const leases = numbers.flatMap((number) => this.#partitions.get(number) ?? [])
    // Before it is done: a renewal at the same time must not take it for lost.
    for (const number of numbers) this.#partitions.delete(number)
    try {
      await this.#options.store.release(
        this.#holder,
        leases.map(({ name }) => name),
      )
    } catch (error) {
      for (const lease of leases) this.#partitions.set(partitionNumber(lease.name), lease)
      throw error
    }
  }

  #keepRenewing(): void {
    if (this.#renewal !== null) return
    let renewing = false
    this.#renewal = setInterval(() => {
      if (renewing) return
      renewing = true
      this.#renew()
        .catch((error: unknown) =>
          this.#options.logger.warn('The leases could not be renewed, trying again', { error }),
        )
        .finally(() => {
          renewing = false
        })
    }, renewMs).unref()
  }

  async #renew(): Promise<void> {
    const startedMs = performance.now()
    const held = [...this.#partitions.keys()]
    const scans = [...this.#scans]
    const { names, others } = await this.#options.store.renew(this.#holder)
    this.#others = others
    for (const scan of scans) if (!names.has(scan)) this.#scans.delete(scan)
    // Given back meanwhile is not lost.
    if (held.some((partition) => this.#partitions.has(partition) && !names.has(partitionName(partition)))) {
      this.#options.logger.warn('Another worker has taken over, since this one could not renew its leases in time')
      this.#validUntilMs = 0
      this.#isLost = true
      this.#options.onLost()
      return
    }
    this.#validFrom(startedMs)
  }

  #validFrom(startedMs: number): void {
    this.#validUntilMs = startedMs + leaseMs - marginMs
    if (this.valid) for (const resolve of this.#waiters.splice(0)) resolve()
  }
}

const partitionName = (partition: number): string => `dirty ${partition}`
const partitionNumber = (name: string): number => Number(name.slice('dirty '.length))
const scanName = (source: string): string => `scan ${source}`

function shuffled(numbers: readonly number[]): number[] {
  return numbers
    .map((number) => ({ number, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ number }) => number)
}
