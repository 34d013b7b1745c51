// The simulator's side of the agent's Dial port.

import { pingText, pongText } from '@rdev/shared/wire/limits'
import type { Dial, DialTarget } from '../../cluster-agent/src/ports.ts'
import type { Kernel, Life } from '../world/kernel.ts'
import type { Network } from '../world/network.ts'

/** The target of a line comes from its token, which names the task, the attempt, the epoch and the key of its connection. */
const placeOf = ({ url, bearer }: DialTarget): string => (url.includes('/clusters/') ? `hub ${bearer}` : bearer)

export const simDial =
  (kernel: Kernel, life: Life, network: Network): Dial =>
  (target, events) => {
    const enter = (run: () => void) => {
      kernel.touched()
      run()
    }
    const connection = network.dial(placeOf(target), {
      life,
      opened: () => enter(() => events.opened()),
      text: (text) => enter(() => events.text(text)),
      pong: () => enter(() => events.text(pongText)),
      closed: (code) => enter(() => events.closed(code, null)),
    })
    return {
      bufferedBytes: 0,
      send: (text) => (text === pingText ? network.ping(connection) : network.sendUp(connection, text)),
      close: () => network.clientGone(connection, false),
      terminate: () => network.clientGone(connection, true),
    }
  }
