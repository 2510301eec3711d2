import {
  ApiMapping,
  DomainName,
  type IHttpApi,
  type IHttpStage,
  SecurityPolicy,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { Certificate, CertificateValidation } from 'aws-cdk-lib/aws-certificatemanager';
import { ARecord, HostedZone, RecordTarget } from 'aws-cdk-lib/aws-route53';
import { ApiGatewayv2DomainProperties } from 'aws-cdk-lib/aws-route53-targets';
import { Construct } from 'constructs';
import type { StrataConfig } from '../config.ts';

export interface ApiDomainProps {
  readonly api: IHttpApi;
  readonly stage: IHttpStage;
  /** Such as `*.app.example.com` or `operator.app.example.com`. */
  readonly hostName: string;
  readonly config: StrataConfig;
}

/**
 * Serves an API under a host name with its own certificate. With `hostedZoneId` the DNS records are made too; without
 * it the deployment waits until an operator has added the certificate's validation record.
 */
export class ApiDomain extends Construct {
  readonly url: string;

  constructor(scope: Construct, id: string, { api, stage, hostName, config }: ApiDomainProps) {
    super(scope, id);
    const zone =
      config.hostedZoneId && config.domainName
        ? HostedZone.fromHostedZoneAttributes(this, 'Zone', {
            hostedZoneId: config.hostedZoneId,
            zoneName: config.domainName,
          })
        : undefined;
    const domain = new DomainName(this, 'Name', {
      domainName: hostName,
      certificate: new Certificate(this, 'Certificate', {
        domainName: hostName,
        validation: CertificateValidation.fromDns(zone),
      }),
      securityPolicy: SecurityPolicy.TLS_1_2,
    });
    new ApiMapping(this, 'Mapping', { api, domainName: domain, stage });
    if (zone) {
      new ARecord(this, 'Record', {
        zone,
        recordName: hostName,
        target: RecordTarget.fromAlias(
          new ApiGatewayv2DomainProperties(domain.regionalDomainName, domain.regionalHostedZoneId),
        ),
      });
    }
    this.url = `https://${hostName}`;
  }
}
