// What a program in TypeScript or JavaScript needs to call the methods of a replica. Copy this file; it has no other parts.
import { experimental_defineRequest, z } from "jazz-tools";

/**
 * Defines a method of a replica, to be called as a request between accounts is: `await method.send({ name: "Ada" })`.
 *
 * The format of such requests binds them to caller and callee, and to nothing else. So the contract and the method are put
 * into the message itself, where the signature covers them: whoever gets hold of the request can't have another method
 * run by it.
 *
 * @param endpoint  where the cluster is reached, e.g. `http://127.0.0.1:4000`
 * @param replica   the replica's name in the cluster
 * @param workerId  the replica's account
 * @param contract  the contract's identity, e.g. `ghcr.io/exeteres/reside/examples/contracts/greeter.v1`
 * @param method    the method's name on the wire
 * @param request   the fields of the request, as for `co.map`
 * @param response  the fields of the response; one that is no object is the field `value`
 */
export function defineReplicaMethod({ endpoint, replica, workerId, contract, method, request, response }) {
  const call = `${contract}/${method}`;
  const route = experimental_defineRequest({
    url: `${endpoint}/replicas/${replica}/rpc/${encodeURIComponent(contract)}/${method}`,
    workerId,
    request: { ...request, "reside:call": z.string() },
    response,
  });
  return { send: (values, options) => route.send({ ...values, "reside:call": call }, options) };
}
