/** Calls `due` once when `ms` have passed since the last `restart`; 0 ms: never. It does not handle a rejection of `due`. */
export class Timer {
  readonly #ms: number
  readonly #due: () => unknown
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number, due: () => unknown) {
    this.#ms = ms
    this.#due = due
  }

  restart(): void {
    this.stop()
    if (this.#ms > 0) this.#timer = setTimeout(() => void Promise.resolve(this.#due()).catch(() => {}), this.#ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
