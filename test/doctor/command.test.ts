import { expect, onTestFinished, test } from 'vitest'
import { formatDoctor } from '../../src/cli/doctor-text.js'
import { painter } from '../../src/cli/terminal.js'
import { startPipeline } from '../../src/pipeline.js'
import { runCommand, writeConfig } from '../support/sidecar.js'
import { soon } from '../support/soon.js'
import { type DoctorRig, doctorForTest, productsMapping } from './rig.js'

const escapeCharacter = String.fromCharCode(27)

async function command(rig: DoctorRig, args: readonly string[], databaseUrl = rig.url) {
  const { capture, slot } = rig.resolved
  const config = await writeConfig({ capture, slot, tables: productsMapping })
  onTestFinished(() => config.remove())
  const env = { DATABASE_URL: databaseUrl, SAFETYKIT_API_KEY: 'sk_emulator', SAFETYKIT_BASE_URL: rig.emulatorUrl }
  return runCommand(['doctor', ...args], { cwd: config.dir, env })
}

test('a set-up without a failure ends with 0, and --json prints every finding', async () => {
  const rig = await doctorForTest()
  const { code, stdout, stderr } = await command(rig, ['--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const report = JSON.parse(stdout)
  expect(report).toMatchObject({ at: expect.stringMatching(/Z$/), ok: true, counts: { failure: 0 } })
  for (const finding of report.findings) {
    expect(Object.keys(finding)).toEqual(['group', 'check', 'subject', 'status', 'found', 'why', 'fix'])
  }
})

test('a broken one ends with 1, and prints the failures last, each with what mends it, and no password', async () => {
  const rig = await doctorForTest()
  await rig.query('DROP PUBLICATION safetykit')
  const { role, url } = await rig.roleUrl('REPLICATION')
  const { code, stdout, stderr } = await command(rig, [], url)
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
  expect(stdout).not.toContain(escapeCharacter)
  expect(stdout).not.toContain('hidden-password')
  expect(stdout).not.toContain('sk_emulator')
  const failures = stdout.slice(stdout.lastIndexOf('\n\nwarning '))
  expect(failures).toContain(`→ GRANT SELECT ("id", "title") ON "public"."products" TO "${role}";`)
  expect(failures).toContain(`→ SELECT pg_drop_replication_slot('${rig.resolved.slot.name}');`)
  expect(failures).toContain('→ $ safetykit-sync migrate')
  expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^\d+ failures, \d+ warnings?, \d+ ok, \d+ skipped$/)
})

test('a sidecar that delivers is seen: reading the slot, and heard of', async () => {
  const rig = await doctorForTest()
  const pipeline = await startPipeline({
    resolved: rig.resolved,
    databaseUrl: rig.url,
    apiKey: 'sk_emulator',
    baseUrl: rig.emulatorUrl,
  })
  onTestFinished(() => pipeline.stop())
  await soon(async () => {
    const { findings, ok } = await rig.doctor()
    expect(ok).toBe(true)
    expect(findings.filter(({ check }) => ['slot-reader', 'processes'].includes(check))).toMatchObject([
      { status: 'ok', found: expect.stringContaining('safetykit-sync') },
      { status: 'ok', found: expect.stringContaining('streaming') },
    ])
  })
})

test('the report is aligned, and coloured only where it is told to be', async () => {
  const rig = await doctorForTest({ migrate: false })
  const report = await rig.doctor()
  const text = formatDoctor(report, painter(false))
  expect(text).toMatch(/^configuration\n {2}✓ node +Node /)
  expect(text).not.toContain(escapeCharacter)
  expect(formatDoctor(report, painter(true))).toContain(escapeCharacter)
})
