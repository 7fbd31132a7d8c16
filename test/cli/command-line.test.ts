import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CommandResult, type ConfigDirectory, configDirectory, runCommand } from '../support/sidecar.js'

let directory: ConfigDirectory
beforeAll(async () => {
  directory = await configDirectory()
})
afterAll(() => directory.remove())

const run = (...args: string[]): Promise<CommandResult> => runCommand(args, { cwd: directory.dir })

describe('the command line', () => {
  it('explains the commands and the exit codes with --help', async () => {
    const { code, stdout, stderr } = await run('--help')
    expect(code).toBe(0)
    expect(stderr).toBe('')
    for (const command of ['migrate', 'run', 'status', 'emulator']) expect(stdout).toContain(command)
    expect(stdout).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}4 /)
  })

  it.each(['migrate', 'run', 'status', 'emulator'])('has an example in %s --help', async (command) => {
    const { code, stdout } = await run(command, '--help')
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`Examples?:\\n  safetykit-sync ${command}`))
  })

  it.each(['migrate', 'run', 'status'])('says in %s --help where settings come from', async (command) => {
    const { stdout } = await run(command, '--help')
    expect(stdout).toContain('DATABASE_URL')
    expect(stdout).toContain('A flag wins over the environment, and the environment over the file .env')
  })

  it('prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await run('--version')).toMatchObject({ code: 0, stdout: `${version}\n` })
  })

  it('shows the help and exits 2 without a command', async () => {
    const { code, stdout, stderr } = await run()
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain('Usage: safetykit-sync')
  })

  it('names the nearest command for one that does not exist, and exits 2', async () => {
    const { code, stdout, stderr } = await run('migrat')
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain("error USAGE: unknown command 'migrat'")
    expect(stderr).toContain('Did you mean migrate?')
  })

  it('names the nearest option for one that does not exist, and exits 2', async () => {
    const { code, stderr } = await run('run', '--confg', 'x')
    expect(code).toBe(2)
    expect(stderr).toContain("error USAGE: unknown option '--confg'")
    expect(stderr).toContain('Did you mean --config?')
  })

  it.each([
    ['run', 'twice'],
    ['run', '--log-level', 'loud'],
    ['emulator', '--port', '70000'],
    ['emulator', '--latency-ms', 'soon'],
  ])('exits 2 for %s %s', async (...args) => {
    const { code, stderr } = await run(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/^error USAGE: /)
  })
})
