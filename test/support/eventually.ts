import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until something is so; the deadline is generous, because a busy machine is no failure. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await sleep(10)
  }
}
