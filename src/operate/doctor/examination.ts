import { failuresOf } from './failures.js'
import { type Check, type DoctorReport, type Finding, type Status, skipped, type Verdict } from './finding.js'

/** What other checks rest on, and is not there. */
export class Missing {
  readonly because: string

  constructor(because: string) {
    this.because = because
  }
}

/** What follows from something, where that is there. */
export const from = <T, U>(given: T | Missing, make: (given: T) => U): U | Missing =>
  given instanceof Missing ? given : make(given)

/** Both, where both are there. */
export const together = <A, B>(a: A | Missing, b: B | Missing): readonly [A, B] | Missing =>
  from(a, (first) => from(b, (second) => [first, second] as const))

/** What a check has learnt that others rest on. */
export interface Learnt<T> {
  readonly verdicts: Verdict | readonly Verdict[]
  readonly value: T | Missing
}

/** A connection that checks look through. */
export interface Line {
  /** Why it cannot be asked any more; `null` while it can. */
  readonly gone: string | null
  /** It has not answered in time: nothing is asked of it any more. */
  giveUp(because: string): void
}

const always: Line = { gone: null, giveUp: () => {} }

function missingFor(given: unknown, { gone }: Line): Missing | null {
  if (given instanceof Missing) return given
  return gone === null ? null : new Missing(gone)
}

/** Makes one check after the other, goes on after a failure, and waits for none longer than its time. */
export class Examination {
  readonly findings: Finding[]
  readonly #timeoutMs: number

  /** @param options.findings of another examination, which this one goes on with. */
  constructor(options: { readonly timeoutMs: number; readonly findings?: Finding[] }) {
    this.#timeoutMs = options.timeoutMs
    this.findings = options.findings ?? []
  }

  /** Makes a check that others rest on. */
  async learn<Given, T>(
    group: string,
    { check, why }: Pick<Check<never>, 'check' | 'why'>,
    given: Given | Missing,
    look: (given: Given) => Promise<Learnt<T>>,
    line: Line = always,
  ): Promise<T | Missing> {
    const missing = missingFor(given, line)
    if (missing !== null) {
      this.#add(group, { check, why }, skipped(`not looked at: ${missing.because}`))
      return missing
    }
    const failed = (error: unknown): Learnt<T> => ({
      verdicts: failuresOf(error),
      value: new Missing(`"${check}" failed`),
    })
    const { verdicts, value } = await this.#within(() => look(given as Given), line).catch(failed)
    this.#add(group, { check, why }, verdicts)
    return value
  }

  /** Makes checks that rest on the same; where that is missing, they are skipped. */
  async examine<Given>(
    group: string,
    checks: readonly Check<Given>[],
    given: Given | Missing,
    line: Line = always,
  ): Promise<void> {
    for (const one of checks) {
      const missing = missingFor(given, line)
      const verdicts =
        missing === null
          ? await this.#within(() => one.look(given as Given), line).catch(failuresOf)
          : skipped(`not looked at: ${missing.because}`)
      this.#add(group, one, verdicts)
    }
  }

  report(at: Date): DoctorReport {
    const findings = [...this.findings]
    const count = (status: Status): number => findings.filter((finding) => finding.status === status).length
    const counts = {
      ok: count('ok'),
      warning: count('warning'),
      failure: count('failure'),
      skipped: count('skipped'),
    }
    return { at: at.toISOString(), ok: counts.failure === 0, counts, findings }
  }

  #add(
    group: string,
    { check, why }: Pick<Check<never>, 'check' | 'why'>,
    verdicts: Verdict | readonly Verdict[],
  ): void {
    const all = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : [verdicts as Verdict]
    for (const { status, found, subject, fix } of all) {
      this.findings.push({ group, check, subject, status, found, why, fix })
    }
  }

  async #within<T>(work: () => Promise<T>, line: Line): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const seconds = this.#timeoutMs / 1_000
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        line.giveUp(`no answer within ${seconds} s`)
        reject(new Error(`There was no answer within ${seconds} s`))
      }, this.#timeoutMs)
    })
    // It may throw at once as well: a setting that is missing.
    const done = (async () => work())()
    // Given up, it may still fail.
    done.catch(() => {})
    try {
      return await Promise.race([done, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
