import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { Spool } from '../../src/delivery/import/spool.js'

/** A folder for the files of imports that goes with the test. */
export async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'safetykit-spool-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export async function spoolForTest(): Promise<Spool> {
  const spool = new Spool(await folderForTest())
  await spool.open([])
  return spool
}
