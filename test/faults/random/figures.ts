import type { EmulatorStats } from '../../../src/emulator/index.js'

/** What one round has shown. */
interface RoundFigures {
  readonly transactions: number
  /** From the end of the last fault until all was delivered. */
  readonly inStepS: number
  /** Whether each version of `posts` was looked for: nothing had happened that leaves some out. */
  readonly everyVersion: boolean
  /** Resident, of the larger sidecar, so far. */
  readonly peakMb: number
  /** WAL that the slot held back at most, and at the end. */
  readonly peakBytes: number
  readonly bytes: number
}

/** The figures of a run. */
export class Figures {
  readonly #kinds = new Map<string, number>()
  readonly #rounds: RoundFigures[] = []

  struck(kind: string): void {
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
  }

  /** Takes in a round, and says it in a line. */
  round(figures: RoundFigures): string {
    this.#rounds.push(figures)
    const { transactions, inStepS, everyVersion, peakMb, peakBytes, bytes } = figures
    const versions = everyVersion ? ', every version of posts' : ''
    return `${transactions} transactions, in step ${inStepS.toFixed(1)} s after${versions}; resident ${peakMb.toFixed(0)} MiB, the slot held back ${mib(peakBytes)} MiB at most, ${mib(bytes)} MiB now`
  }

  /** All of it, as a table. */
  text({ acceptedObjects, calls }: EmulatorStats): string {
    const inStep = this.#rounds.map(({ inStepS }) => inStepS).sort((a, b) => a - b)
    const most = (of: (round: RoundFigures) => number): number => Math.max(...this.#rounds.map(of))
    const held = most(({ peakBytes }) => peakBytes)
    const everyVersion = this.#rounds.filter((round) => round.everyVersion).length
    const rows: readonly (readonly [string, string])[] = [
      ['transactions', whole(this.#rounds.reduce((sum, { transactions }) => sum + transactions, 0))],
      ['objects accepted', `${whole(acceptedObjects)} in ${whole(calls.add)} requests, those that failed included`],
      ['in step after', `${seconds(inStep[inStep.length >> 1])} (median), ${seconds(inStep.at(-1))} (most)`],
      ['resident', `${most(({ peakMb }) => peakMb).toFixed(0)} MiB at most`],
      ...(held === 0 ? [] : [['held back by the slot', `${mib(held)} MiB at most`] as const]),
      ...(everyVersion === 0 ? [] : [['every version', `in ${everyVersion} rounds`] as const]),
    ]
    const kinds = [...this.#kinds].sort(([a], [b]) => a.localeCompare(b)).map(([kind, count]) => `${count} ${kind}`)
    const struck = [...this.#kinds.values()].reduce((sum, count) => sum + count, 0)
    return [
      `${struck} faults in ${this.#rounds.length} rounds`,
      ...rows.map(([name, value]) => `  ${name.padEnd(22)}${value}`),
      ...Array.from({ length: Math.ceil(kinds.length / columns) }, (_, line) => {
        const cells = kinds.slice(line * columns, (line + 1) * columns)
        return `  ${cells.map((cell) => cell.padEnd(38)).join('')}`.trimEnd()
      }),
    ].join('\n')
  }
}

/** Kinds of faults in a line. */
const columns = 3

const mib = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1)
const whole = (count: number): string => count.toLocaleString('en-US')
const seconds = (of: number | undefined): string => `${(of ?? 0).toFixed(1)} s`
