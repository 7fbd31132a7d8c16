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
   * Where `capture: 'client'` cannot know the rows: the tables that it may mark as a whole. The rows of all other tables
   * have to be marked by their keys, in every capture mode.
   */
  readonly wholeTables?: readonly Source[] | 'all'
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
