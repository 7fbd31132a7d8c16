import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'
import { streamRig } from './stream-rig.js'

const rig = streamRig()

describe('stopping', () => {
  test('leaves no socket, no timer, no walsender and no rejection behind, whenever it comes', async () => {
    await rig.createSlot()
    await rig.insert(1, 20_000)
    // The child stops a stream at 20 moments, and ends only when nothing keeps it alive.
    const child = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        path.join(import.meta.dirname, 'stop-at-any-moment.ts'),
        rig.db.url,
        rig.slot,
        rig.publication,
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    )
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
    await soon(async () => expect((await rig.slotState()).active).toBe(false))
  })

  test('is bounded when the server is dead', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    const recorder = new Recorder()
    const stream = rig.open(recorder, { connection: { connectionString: through.url(rig.db.url) } })
    await soon(() => expect(recorder.starts).toBe(1))
    through.blackHole()
    const before = Date.now()
    await stream.stop()
    expect(Date.now() - before).toBeLessThan(30_000)
    await rig.terminateReader()
    await soon(async () => expect((await rig.slotState()).active).toBe(false))
  })

  test('follows a signal, also one that was given before the start', async () => {
    await rig.createSlot()
    await rig.open(new Recorder(), { signal: AbortSignal.abort() }).done
    const controller = new AbortController()
    const recorder = new Recorder()
    const stream = rig.open(recorder, { signal: controller.signal })
    await soon(() => expect(recorder.starts).toBe(1))
    controller.abort()
    await stream.done
    expect(stream.status.phase).toBe('stopped')
  })

  test('ends the wait between two attempts', async () => {
    const through = await rig.proxy()
    through.refuse()
    const stream = rig.open(new Recorder(), {
      connection: { connectionString: through.url(rig.db.url) },
      timings: { retryBaseMs: 3_600_000, retryMaxMs: 3_600_000 },
    })
    await soon(() => expect(stream.status.phase).toBe('waiting'))
    await stream.stop()
  })
})
