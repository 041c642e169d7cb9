import type { GovernanceRequest, RegistrationPlan } from "../model/sign-in.ts";
import { appPermissions } from "./app-permissions.ts";

/** Source: Microsoft Entra docs, "Microsoft Entra built-in roles". */
const SECURITY_READER = { id: "5d6b6bb7-de71-4623-b4af-96380a352509", name: "Security Reader" };

/**
 * The body of `POST /v1.0/directory/tenantGovernance/governancePolicyTemplates`. Sources: Microsoft Graph
 * docs, "Create governancePolicyTemplate", resource type multiTenantApplicationsToProvision. All examples
 * there have permissions of type `scope`; `role` is documented (applicationResourcePermission) and was not
 * tried.
 */
export function governanceTemplate(plan: RegistrationPlan, request: GovernanceRequest): unknown {
  const byApi = Map.groupBy(appPermissions(plan), ({ api }) => api.appId);
  return {
    displayName: plan.name,
    description: "Read-only access to alerts and incidents of Microsoft Defender.",
    multiTenantApplicationsToProvision: [
      {
        appId: request.clientId,
        objectId: request.objectId,
        displayName: plan.name,
        requiredResourceAccesses: [...byApi].map(([resourceAppId, permissions]) => ({
          resourceAppId,
          permissions: permissions.map(({ id, name, type }) => ({ id, name, type: type.toLowerCase() })),
        })),
      },
    ],
    delegatedAdministrationRoleAssignments: [{ roleTemplates: [SECURITY_READER], group: { id: request.groupId } }],
  };
}
