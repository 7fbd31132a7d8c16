import type { PrismaClient, PrismaNamespace, Version } from './clients.js'
import type { Source } from './tables.js'

export interface Context {
  readonly prisma: PrismaClient
  readonly Prisma: PrismaNamespace
  /** Writes as another program does, with `pg`. */
  other(sql: string, params?: readonly unknown[]): Promise<unknown>
}

/** One way to write. It runs against rows that are always the same: those of seed.sql. */
export interface Scenario {
  /** What it gives is compared between the plain client and the extended one, and so is what it throws. */
  run(context: Context): Promise<unknown>
  /**
   * With `capture: 'client'`, the tables whose rows cannot be known, so that a mark of the whole table will do for them;
   * the rows of all other tables have to be marked by their keys. Missing: nothing may be marked as a whole. Empty: it may,
   * since something could have cascaded.
   */
  readonly wholeTables?: readonly Source[] | 'all'
  /**
   * With `capture: 'client'`: keys are changed or many rows deleted, so that what is gone is only found by a scan. The rows
   * as they are now have to be marked by their keys all the same.
   */
  readonly goneIsScanned?: boolean
  /** Nothing of it is committed to a mapped table, so nothing may be marked. */
  readonly leavesNoMark?: boolean
  /** Another program writes, which `capture: 'client'` does not see. */
  readonly byAnotherProgram?: boolean
  /** Runs on this version only. */
  readonly only?: Version
}

/** Scenarios by name: the name says what is written, and how. */
export type Scenarios = Readonly<Record<string, Scenario>>

/** The id of a post in seed.sql. */
export const post = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`

/** Postgres gives the rows that it has changed in the order in which they happen to lie. */
export async function inAnyOrder<Row extends object>(rows: PromiseLike<readonly Row[]>): Promise<readonly Row[]> {
  return [...(await rows)].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

/** Lets several parts of a scenario wait for each other. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** What a caller that handles the error sees of it. */
export async function caught(work: Promise<unknown>): Promise<unknown> {
  try {
    return { value: await work }
  } catch (error) {
    const { name, code, message, meta } = error as Error & { code?: unknown; meta?: unknown }
    return { class: (error as Error).constructor.name, name, code, message, meta }
  }
}
