// The same cases in workerd, whose streams and timers are its own; and the whole path of a follower in it.
import './event-stream.test.ts'
import './task-events.test.ts'
